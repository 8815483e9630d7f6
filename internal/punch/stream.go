package punch

import (
	"net"
	"time"
)

// StreamConfig is what a [Stream] is made from.
type StreamConfig struct {
	Initiator bool
	Token     Token // that the peer's connections have to show

	// Admit is asked for each connection that has shown the right token, before the stream uses
	// it: before an initiator chooses it, and before a responder confirms it. Accepted reports
	// whether the connection was accepted and not connected. An error ends the stream. Calls come
	// from several goroutines, one for each connection. Nil admits all.
	Admit func(c *net.TCPConn, accepted bool) error

	// Trace is called with what becomes of a connection; nil for none.
	Trace Trace

	// ChoiceTimeout is how long a responder waits for the choice after it has confirmed the first
	// connection; 0 means the default. CopyTimeout bounds the time from a connection's coming up
	// to its peer's token and 0x01; 0 means the default, 5 s.
	ChoiceTimeout, CopyTimeout time.Duration
}

// A Stream is the connection that an attempt ends with. Until the initiator has chosen a TCP
// connection, every one that is up carries a copy of the same bytes; see the package comment.
// After the choice Read and Write go straight to the chosen [net.TCPConn].
//
// Before there is any connection, Write keeps up to 64 KiB and then blocks, and Read blocks.
// Before the first confirmed connection LocalAddr and RemoteAddr are unspecified TCP addresses;
// before the choice they are those of the first connection that showed the right token.
type Stream struct{ net.Conn }

var _ net.Conn = (*Stream)(nil)

// NewStream returns a stream without connections. It must be closed, or ended by [Stream.Fail].
func NewStream(StreamConfig) *Stream { panic("contract") }

// SetPeerToken sets the token with which connections to the peer open. Connections that come up
// before, which an initiator's may before it has read the ANSWER, wait for it.
func (s *Stream) SetPeerToken(t Token) { panic("contract") }

// Serve makes a TCP connection a copy of the stream. It owns c and returns when c was chosen, with
// nil, or is of no use, with the reason why: c is reset then. Of an accepted connection the
// [Receiver] has read the preamble.
func (s *Stream) Serve(c *net.TCPConn, accepted bool) error { panic("contract") }

// Usable is closed when the peer's bytes can arrive: at the initiator with the choice, at the
// responder when the first connection has shown the right token and was admitted.
func (s *Stream) Usable() <-chan struct{} { panic("contract") }

// Chosen is closed when a connection was chosen.
func (s *Stream) Chosen() <-chan struct{} { panic("contract") }

// Done is closed when the stream has ended: by Close, Fail, an Admit that refused, a responder's
// ChoiceTimeout, or copies that differ. After the choice an error of the connection is the
// caller's to see, and does not close it.
func (s *Stream) Done() <-chan struct{} { panic("contract") }

// Err returns why the stream has ended, or nil.
func (s *Stream) Err() error { panic("contract") }

// Fail ends the stream with an error unless a connection was chosen, and resets its connections.
// Calls of Serve return, with that error.
func (s *Stream) Fail(err error) { panic("contract") }

// TCPConn returns the chosen connection, or nil before the choice.
func (s *Stream) TCPConn() *net.TCPConn { panic("contract") }
