package gather

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Observer reports from which address it sees a local port: a STUN server, or something that
// the application knows. Observers are comparable.
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

// Config is what a [Gatherer] is made from.
type Config struct {
	Servers []string // STUN servers, host:port
	// Observers returns who else may be asked at the moment where the given local port is seen. They
	// are asked while no STUN server answers. Nil for none. Called from the Gatherer's goroutine.
	Observers func(port uint16) []Observer
	// Ports is how many ports are kept warm, 0 to punch.MaxPorts. With 0 one port is used, and its
	// address is asked for by each Gather.
	Ports  int
	Accept func(*net.TCPConn) // gets what the ports accept
	Log    *slog.Logger

	// The hooks below are called from several goroutines; nil for none.
	OnBehaviour func(stun.Behaviour, error)                  // a search for the NAT's behaviour has ended
	OnAsked     func(o Observer, stunServer bool, err error) // an observer answered or failed
	OnHeld      func(delta int)                              // connections to observers that are held, more or fewer
}

// These are kinds of failure of [Gatherer.Gather].
var (
	// ErrNoAddress: no observer reported an address. What each said is in the chain.
	ErrNoAddress = errors.New("no observer reported an address")
	// ErrClosed: the Gatherer is closed.
	ErrClosed = errors.New("gatherer is closed")
)

// A Port is a local port and its reflexive addresses, each once, IPv4 before IPv6.
type Port struct {
	*tcpport.Port
	Reflexive []netip.AddrPort
}

// A Snapshot is what is known at one time. It does not change.
type Snapshot struct {
	Ports     []Port         // with at least one reflexive address each; the first one first
	Behaviour stun.Behaviour // of the NATs in front of the host, as far as it is known
}

// A Gatherer keeps ports warm and knows their addresses.
type Gatherer struct{}

// New returns a Gatherer, which opens its ports when they are first needed. Close must be called.
func New(Config) *Gatherer { panic("contract") }

// SetWarm says whether ports are to be kept warm.
func (g *Gatherer) SetWarm(warm bool) { panic("contract") }

// ObserversChanged says that Config.Observers may return others than before. It does not block.
func (g *Gatherer) ObserversChanged() { panic("contract") }

// Port returns the number of the first port, which it opens if need be. 0 with an error.
func (g *Gatherer) Port() (uint16, error) { panic("contract") }

// Close gives up the ports and the connections to observers. Gathered descriptions must have been
// released before.
func (g *Gatherer) Close() error { panic("contract") }

// Options are the wishes of one attempt.
type Options struct {
	// Filter returns those of the addresses that the peer may be told; nil for all.
	Filter func([]netip.AddrPort) []netip.AddrPort
	// Listeners are public addresses at which the application accepts its ordinary connections.
	Listeners []netip.AddrPort
	// Spend is called before a SYN is sent to a STUN server for the attempt's sake; nil for none.
	Spend func(ctx context.Context) error
}

// A Description is what one round of an attempt is made from: the ports to punch from, and what
// the peer is told.
type Description struct {
	Ports      []*tcpport.Port
	Candidates []punch.Candidate
	Behaviour  stun.Behaviour

	// Following reports that Candidates lacks predicted ones that Predict will return. Until then its
	// IPv4 reflexive candidate says where the host is, and is not to be connected to.
	Following bool
}

// Gather describes the host for one round, within 4.5 s: at once if its ports are warm. Release must
// be called. Errors match [ErrNoAddress], [ErrClosed], [tcpport.ErrShort] or ctx's, and
// [ErrFiltered] if Options.Filter left no address.
func (g *Gatherer) Gather(ctx context.Context, o Options) (*Description, error) { panic("contract") }

// ErrFiltered: the filter left no address to tell the peer.
var ErrFiltered = errors.New("the address filter leaves no address")

// Predict waits for the external ports that a Following description's port may get, by two round
// trips to a STUN server that have begun with Gather, and returns the description with them in place of
// the IPv4 reflexive candidates. For others it returns the description as it is.
func (d *Description) Predict(ctx context.Context) (*Description, error) { panic("contract") }

// Release gives the ports back. It may be called more than once.
func (d *Description) Release() { panic("contract") }

// LANCandidates returns where the port can be reached within the host's own network.
func LANCandidates(port uint16) []punch.Candidate { panic("contract") }

// Links returns the addresses of the host's interfaces with their prefixes.
func Links() []netip.Prefix { panic("contract") }
