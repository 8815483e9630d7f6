package punch

import "net"

// A Receiver reads the preamble of accepted connections and hands each to the attempt whose token
// it shows. Connections that show an unknown token, anything else, or nothing in time are reset.
// Those that have not shown a token yet are bounded in number: beyond the bound the connection
// that has waited longest from the address with the most connections gives way.
//
// One Receiver serves all ports of an agent.
type Receiver struct{}

// NewReceiver returns a Receiver. Close must be called.
func NewReceiver() *Receiver { panic("contract") }

// Accept takes an accepted connection. It does not block; it is the accept function of a
// [tcpport.Port].
func (r *Receiver) Accept(c *net.TCPConn) { panic("contract") }

// Expect hands connections that show the token to serve, each in a goroutine of the Receiver,
// until cancel is called. cancel does not wait for calls of serve under way. serve owns the
// connection.
func (r *Receiver) Expect(t Token, serve func(*net.TCPConn)) (cancel func()) { panic("contract") }

// Close resets the connections that have not shown a token, and waits for the Receiver's
// goroutines. All Streams must have ended before.
func (r *Receiver) Close() error { panic("contract") }
