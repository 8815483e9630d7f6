package holepunch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// Protocol is the ID of the signalling protocol.
const Protocol = "/simopen/1.0.0"

// A Stream carries the signalling of one attempt. Any reliable stream to the peer will do that is
// encrypted and authenticated end to end, for who reads it can join the attempt: a libp2p stream, a
// WebSocket, a chat server. The agent does not close it.
type Stream interface {
	io.ReadWriter
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// An Observer reports from which address it sees a local port, as a STUN server does. Observers are
// comparable.
type Observer interface {
	// String names the observer in logs and errors.
	fmt.Stringer
	// IPv4 reports whether the observer is asked over IPv4.
	IPv4() bool
	// Observe connects to the observer through d, which dials from the port, calls report once with
	// what it learned, and holds the connection until ctx ends or the connection does. It returns
	// why it ended, or failed, and has closed the connection then.
	Observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error
}

// Config is what an [Agent] is made from. The zero Config has no observer, and no attempt of its
// agent succeeds unless the peer listens at a public address.
type Config struct {
	// STUNServers report the host's reflexive addresses, over TCP: each a stun: URI (RFC 7064) or
	// host:port; without a port it is 3478. ...
	STUNServers []string

	// Observers returns who else may be asked at the moment where the given local port is seen, while
	// no STUN server answers. Nil for none. It must not block.
	Observers func(port uint16) []Observer

	// WarmPorts is how many local ports are kept warm while [Agent.SetWarm] says so: 0 to 2.
	// Default: 0, each attempt asks where its port is. (transport passes 2.)
	WarmPorts int

	// PortGuessing lets the agent guess ports ...
	PortGuessing bool

	// Timeout bounds an attempt. Default: 15 s.
	Timeout time.Duration

	Limits Limits
	Logger *slog.Logger // nil for slog.Default()

	// The hooks are called from several goroutines; nil for none.
	OnBehaviour func(stun.Behaviour, error)                  // a search for the NAT's behaviour has ended
	OnAsked     func(o Observer, stunServer bool, err error) // an observer has answered, or failed
	OnHeld      func(delta int)                              // connections to observers that are held, more or fewer
}

// An Agent punches on behalf of a program. Its methods may be called from several goroutines.
type Agent struct{}

// NewAgent returns an Agent, which opens no socket until it is needed. Close must be called. The
// error says what is wrong with the configuration.
func NewAgent(c Config) (*Agent, error) { panic("contract") }

// SetWarm says whether the agent's ports are to be kept warm.
func (a *Agent) SetWarm(warm bool) { panic("contract") }

// ObserversChanged says that Config.Observers may return others than before. It does not block.
func (a *Agent) ObserversChanged() { panic("contract") }

// Port returns the number of the agent's first port, which it opens if need be.
func (a *Agent) Port() (uint16, error) { panic("contract") }

// Close ends every attempt with [ErrClosed] and gives up the ports. Connections live on.
func (a *Agent) Close() error { panic("contract") }

// Dial makes an attempt as initiator: it offers over the stream, on which the peer calls
// [Agent.Accept], punches, and returns the connection that it has chosen. Without a deadline of
// ctx it takes Config.Timeout at most. A failure is a [*PunchError]; [ReasonOf] tells why.
func (a *Agent) Dial(ctx context.Context, s Stream, o *Options) (*Conn, error) { panic("contract") }

// Accept makes an attempt as responder, for an OFFER that comes over the stream. Without a handshake
// it returns the connection when the initiator has chosen one; with one, when the handshake is
// done, which may be half a round trip before that.
func (a *Agent) Accept(ctx context.Context, s Stream, o *Options) (*Conn, error) { panic("contract") }

// Options are the wishes of one attempt; nil for the defaults.
type Options struct {
	// Peer names whom the attempt is with. [Limits] bound what one peer can have the agent do.
	Peer string

	// Handshake runs on the connection while the punch is under way.
	Handshake *Handshake

	// Refuse is called by Accept when the OFFER was read and is within the limits. An error that it
	// returns is told to the peer, by its reason, and ends the attempt before anything else is done.
	// Started is called after that, by Dial at once. Nil for none.
	Refuse  func() error
	Started func()

	// FilterOwn returns which of the host's addresses the peer may be told, and FilterRemote to which
	// of the peer's the host connects; what they add does not count. An error of FilterRemote says why
	// there is none. Nil for all.
	FilterOwn    func([]netip.AddrPort) []netip.AddrPort
	FilterRemote func([]netip.AddrPort) ([]netip.AddrPort, error)

	// Admit is asked for each TCP connection that has shown the attempt's token, before it is used.
	// An error ends the attempt. Calls come from several goroutines. Nil admits all.
	Admit func(c *net.TCPConn, accepted bool) error

	// Listeners are public addresses at which the application accepts its ordinary connections: the
	// peer is told, and may connect there by its own means instead of by the punch.
	Listeners []netip.AddrPort

	// Elsewhere is called, in a goroutine of its own, when the peer's description is known. It gets the
	// peer's listeners, which it may connect to by the application's own means, and whether the two NATs
	// allow a punch. When it returns nil the application has a connection by other means: the attempt
	// ends with [ErrElsewhere], and the peer is told of success. Other errors mean nothing. It must
	// return soon after ctx ends. Nil for none.
	Elsewhere func(ctx context.Context, listeners []netip.AddrPort, punchable bool) error

	// Trace reports each step. Calls come from several goroutines. Nil for none.
	Trace func(Event)
}

// A Handshake is what the two sides do first on their connection, such as TLS. Its first two
// flights travel in the signalling, if they are at most 2.5 kB each and each is complete when the
// handshake reads: then the connection is usable one round trip earlier.
type Handshake struct {
	// Protocols are the handshakes that this side can do, the preferred one first: at most 8 names of
	// at most 64 bytes.
	Protocols []string

	// Run does the handshake as client (initiator) or server on c, which is the beginning of the
	// connection that Dial or Accept returns. It is called again, with another protocol and a connection
	// that starts anew, if the responder has chosen another than the initiator's first. It must
	// return when c fails.
	Run func(ctx context.Context, c net.Conn, protocol string, initiator bool) error

	// Wrap wraps what runs over TCP, as a private network's protector does; not the flights in the
	// signalling. Nil for nothing.
	Wrap func(net.Conn) (net.Conn, error)
}

// A Conn is a direct connection. With a Handshake, what Run did with its connection it did with this
// one.
type Conn struct{ net.Conn }

// Chosen is closed when the initiator has chosen the TCP connection, which at the initiator is so
// from the beginning. If that does not happen soon, the connection fails.
func (c *Conn) Chosen() <-chan struct{} { panic("contract") }

// TCPConn returns the TCP connection, or nil before it was chosen.
func (c *Conn) TCPConn() *net.TCPConn { panic("contract") }
