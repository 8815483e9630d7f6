package holepunch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// Protocol is the ID of the signalling protocol.
const Protocol = "/simopen/1.0.0"

// A Stream carries the signalling of one attempt. Any reliable stream to the peer will do that is
// encrypted and authenticated end to end: a libp2p stream, a WebSocket, a chat server. The agent
// does not close it. After the attempt the stream cannot be used for anything else. Messages are
// written one after the other while the peer reads; a Write should not wait until the peer has
// read.
//
// The encryption of the stream protects the candidates and the tokens: anybody who reads these can
// join the attempt. It does not protect the connection, which needs a [Handshake] all the same. A
// host at a wrong candidate that accepts this host's connection reads the peer's token there, and
// with the token it can relay between the two peers.
type Stream interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Options configure one attempt; nil for the defaults.
type Options struct {
	// Peer names the peer of the attempt, by a string that is the same in each attempt with that
	// peer. [Limits] bound what one peer can have the agent do. All attempts in which Peer is ""
	// count as those of one peer.
	Peer string

	// Handshake runs on the connection while the punch is under way.
	Handshake *Handshake

	// Refuse is called by Accept when the OFFER was read and is within the limits. An error ends
	// the attempt before anything else is done. It should be a [Reason] or wrap one, from which the
	// peer learns why: [ErrDeclined] and [ErrPeerFiltered] arrive there as DECLINED. Any other
	// error arrives as FAILED. Nil refuses nothing.
	Refuse func() error

	// Started is called when the attempt begins: by Accept after Refuse, by Dial at once. Nil for
	// none.
	Started func()

	// FilterOwn returns which of the host's addresses may be disclosed to the peer. FilterRemote
	// returns which of the peer's addresses the host connects to; its error says why there is none.
	// Addresses that they add are ignored. Nil for all.
	FilterOwn    func([]netip.AddrPort) []netip.AddrPort
	FilterRemote func([]netip.AddrPort) ([]netip.AddrPort, error)

	// Admit is asked for each TCP connection that has shown the attempt's token, before it is used.
	// An error ends the attempt. At Accept that may be after the choice: the initiator's connection
	// is reset then. So what is known before, such as an address that is not wanted, belongs in
	// FilterRemote, from which the peer learns the reason. Calls come from several goroutines. Nil
	// admits all.
	Admit func(c *net.TCPConn, accepted bool) error

	// RelayRTT is the round trip time between this host and the relay, or the server, that carries
	// the stream; 0 if it is unknown. From both sides' times the responder estimates when the
	// initiator reads the ANSWER. The SYNs from its second port, or from the first if a port was
	// predicted, leave at that moment, and cross those of the initiator. Where both NATs drop early
	// SYNs, those of its two ports leave before and after that moment. Connecting at these moments
	// saves half a direct round trip and more, and a second and more behind some NATs that answer
	// an unsolicited SYN.
	RelayRTT time.Duration

	// MaxSegment bounds the size of the connection's TCP segments, for a path that loses larger
	// packets without an ICMP error. The peer has to set it as well. 0 leaves it to the system.
	MaxSegment int

	// Listeners are public addresses at which the application accepts its ordinary connections:
	// they are sent to the peer, which may connect there by its own means instead of by the punch.
	Listeners []netip.AddrPort

	// Elsewhere is called, in a goroutine of its own, when the peer's description is known. It gets
	// the peer's listeners, to which it may connect by the application's own means, and whether the
	// two NATs allow a punch. It returns nil if the application has a connection by other means:
	// the attempt then ends with [ErrElsewhere], and success is reported to the peer. An error does
	// not end the attempt. Elsewhere must return soon after ctx ends. Nil for none.
	Elsewhere func(ctx context.Context, listeners []netip.AddrPort, punchable bool) error

	// Trace reports each step. Calls come from several goroutines. Nil for none.
	Trace func(Event)
}

// A Handshake is what the two sides do first on their connection, such as TLS. Its first two
// flights travel in the signalling, which makes the connection usable one round trip earlier. They
// do so if they are at most 2.5 kB each, and if each is complete when the handshake reads.
type Handshake struct {
	// Protocols are the handshakes that this side can do, the preferred one first: at most 8 names
	// of at most 64 bytes.
	Protocols []string

	// Run does the handshake as client (initiator) or server on c, which is the beginning of the
	// connection that Dial or Accept returns. It must return when c fails. At a responder it must
	// also return within 3 s of the choice, or the attempt ends. The application goes on with what
	// Run makes from c, such as a *tls.Conn; Run keeps that in a variable.
	//
	// Run is called again, with another protocol and a connection that starts from the beginning,
	// if the responder has chosen another protocol than the initiator's first. That call begins
	// when the first one has returned.
	//
	// There may be no TCP connection yet when Run is called. LocalAddr and RemoteAddr of c are
	// unspecified addresses until there is one, and deadlines of c have no effect: ctx ends with
	// the attempt. Before the choice, Write keeps up to 64 KiB, and a Write that does not fit waits
	// for the choice.
	//
	// The initiator of a TLS 1.3 handshake is done before the responder has seen its certificate.
	// If the responder refuses the certificate, the first Read may return the error, and not Dial.
	Run func(ctx context.Context, c net.Conn, protocol string, initiator bool) error

	// Wrap wraps what runs over TCP, as a private network's protector does. It does not get the
	// flights in the signalling. Nil for nothing.
	Wrap func(net.Conn) (net.Conn, error)
}

// A Conn is a direct connection. With a Handshake, the application reads and writes what Run has
// made of its connection, such as a *tls.Conn, and not the Conn itself, whose bytes are the
// handshake protocol's. The Conn then is for its addresses and for [Conn.AwaitChoice].
type Conn struct {
	net.Conn
	stream *punch.Stream
}

// AwaitChoice waits until the initiator has chosen the TCP connection. At the initiator it returns
// at once. The error is that of ctx, or says why the connection has failed before the choice, for
// instance by its own timeout of some seconds.
func (c *Conn) AwaitChoice(ctx context.Context) error {
	select {
	case <-c.stream.Chosen():
		return nil
	case <-c.stream.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.stream.TCPConn() != nil {
		return nil // it was closed after the choice
	}
	err := c.stream.Err()
	if ReasonOf(err) == "" {
		err = fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return err
}

// TCPConn returns the TCP connection, or nil before it was chosen. It is closed by closing the
// Conn, which may hold other connections to the peer as well.
func (c *Conn) TCPConn() *net.TCPConn { return c.stream.TCPConn() }
