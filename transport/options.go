package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	dcutr "github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Option configures [Enable] and [New].
type Option func(*config) error

// An AddrFilter is go-libp2p's own type, so that one filter serves DCUtR as well; see
// [WithAddrFilter].
type AddrFilter = dcutr.AddrFilter

type config struct {
	servers    []string // host:port
	observers  []observerAddr
	pinned     bool // observers are those and no others
	tracer     func(Event)
	guess      bool
	onRequest  bool
	reset      bool // streams on a relayed connection that is retired
	ports      int  // that are kept warm
	timeout    time.Duration
	grace      time.Duration
	maxVerdict time.Duration
	noticeTime time.Duration // see conn.holdStreams
	peerFilter func(peer.ID) bool
	addrFilter AddrFilter
	limits     holepunch.Limits
	control    func(network, address string, c syscall.RawConn) error
	log        *slog.Logger
	registerer prometheus.Registerer
}

// An observerAddr is a libp2p peer, and an address at which it listens.
type observerAddr struct {
	id   peer.ID
	addr netip.AddrPort
}

const (
	// defaultPorts: with two ports a lost SYN delays nothing, and a third gained nothing over that
	// (docs/performance.md).
	defaultPorts = 2

	// defaultTimeout is as long as go-libp2p's swarm gives one dial.
	defaultTimeout = 15 * time.Second
)

func newConfig(opts []Option) (config, error) {
	c := config{ports: defaultPorts, timeout: defaultTimeout, grace: defaultGrace, maxVerdict: defaultMaxVerdict, noticeTime: defaultNoticeTime, log: log}
	for _, o := range opts {
		if o == nil { // libp2p skips its own, too
			continue
		}
		if err := o(&c); err != nil {
			return config{}, fmt.Errorf("simopen: %w", err)
		}
	}
	return c, nil
}

// WithSTUNServers sets the STUN servers that report the host's reflexive addresses, over TCP: each
// a stun: URI (RFC 7064) or host:port; without a port it is 3478. All are asked side by side, so
// that one of two may fail, and one of three may lie. With two at different addresses, ports can be
// predicted. A server that connects back, as [stun.Server] with two addresses does, also detects
// hopeless pairs of NATs. See docs/nat.md.
//
// Without a server, or when none answers, the host's own connections show its address, and other
// libp2p peers are asked; see [WithObservers]. A server is better behind a NAT that does not keep
// the port numbers, where no relay listens on plain TCP, and where the relays are within the host's
// own network.
func WithSTUNServers(servers ...string) Option {
	return func(c *config) error {
		for _, s := range servers {
			hostport, err := stun.ParseServer(s)
			if err != nil {
				return fmt.Errorf("STUN server %q: %w", s, err)
			}
			c.servers = append(c.servers, hostport)
		}
		return nil
	}
}

// WithObservers sets the libp2p peers that report the host's reflexive addresses, by identify,
// while no STUN server answers. Each needs an address like /ip4/A/tcp/P. Without any, no peer
// counts.
//
// A peer that the host is connected to anyway reports the external address. If the NAT preserves
// port numbers, no other peer is asked, except for one check. Otherwise one peer is asked in each
// attempt, over one TCP connection with a throw-away identity, which ends some seconds after the
// attempt: libp2p hosts take few connections from one IP address, and the host's neighbours need
// theirs. A peer that refuses is asked again later, and another one instead.
//
// Default: up to three of the relays that the host is connected to, which need no more trust than
// they have. With a single relay another public peer counts as well: only two can show that a NAT
// gives every destination another port.
func WithObservers(observers ...peer.AddrInfo) Option {
	return func(c *config) error {
		c.pinned = true
		for _, o := range observers {
			n := len(c.observers)
			for _, a := range o.Addrs {
				if ap, ok := fromMultiaddr(a); ok {
					c.observers = append(c.observers, observerAddr{o.ID, ap})
				}
			}
			if len(c.observers) == n {
				return fmt.Errorf("observer %s has no address like /ip4/A/tcp/P in %v", o.ID, o.Addrs)
			}
		}
		return nil
	}
}

// WithWarmPorts sets how many local ports the host keeps warm while it is connected to a relay: 0,
// 1 or 2. A warm port has connections to STUN servers, which hold its mapping at the NAT, so that
// an OFFER leaves at once. Other observers are asked only in an attempt. With two ports a lost SYN
// delays nothing. With 0, a punch uses one port and asks for its address in each attempt: no
// connection is held between attempts, and a punch takes a round trip or two longer. Default: 2.
func WithWarmPorts(n int) Option {
	return func(c *config) error {
		if n < 0 || n > defaultPorts {
			return fmt.Errorf("%d warm ports: want 0, 1 or %d", n, defaultPorts)
		}
		c.ports = n
		return nil
	}
}

// WithTimeout bounds an attempt: from 1 s to any length. Two thirds of it, up to 10 s, are for the
// connects. A SYN that is lost takes a second, so less than 4 s make attempts fail. Default: 15 s.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d < time.Second {
			return fmt.Errorf("timeout of %v: want 1 s at least", d)
		}
		c.timeout = d
		return nil
	}
}

// WithRelayGrace sets how long a relayed connection stays beside the direct one that took its
// place. After that time the relayed connection is closed if the direct one has carried full-size
// packets both ways and no stream is open on the relayed one. Otherwise this is checked again after
// the same time (1 s at least): no stream is cut, unless [WithRelayStreamsReset] is set. A negative
// time keeps the relayed connection until something else closes it.
//
// Default: 1 min. DCUtR's specification asks for a grace period and names none; a stream takes
// seconds to open, and go-libp2p's relays end a limited connection after 2 min anyway. While the
// relayed connection stays, the peers can punch over it again when the direct one dies.
func WithRelayGrace(d time.Duration) Option {
	return func(c *config) error { c.grace = d; return nil }
}

// WithRelayStreamsReset closes the relayed connection after the grace period ([WithRelayGrace])
// even if streams are open on it. The streams are reset, so that applications open them again, on
// the direct connection. It is for relays without limits: there GossipSub, the DHT and the like
// open streams on the relayed connection, and keep them for as long as it lasts. It is enough if
// one of two peers has it. After closing, this host opens and accepts no stream on the direct
// connection for half a second, in which both sides notice the end of the old streams.
//
// Default: no stream is cut. A relay with limits ends its connections by itself, and go-libp2p
// opens only streams on them that ask for it.
func WithRelayStreamsReset() Option {
	return func(c *config) error { c.reset = true; return nil }
}

// WithOnRequestOnly leaves relayed connections as they are until [DirectConnect], here or at the
// peer, asks for a direct one. Default: every relayed connection that this host dials is upgraded,
// as DCUtR does.
func WithOnRequestOnly() Option {
	return func(c *config) error { c.onRequest = true; return nil }
}

// WithPeerFilter makes the host punch only with peers for which f returns true, whichever side
// initiates. A direct connection shows the peer this host's IP address, which a relay hides.
// Attempts of other peers are refused with [holepunch.ErrDeclined] at their side, and they stay
// relayed. Calls of f come from several goroutines. Default: every peer.
func WithPeerFilter(f func(peer.ID) bool) Option {
	return func(c *config) error {
		if f == nil {
			return errors.New("WithPeerFilter without a filter")
		}
		c.peerFilter = f
		return nil
	}
}

// WithAddrFilter makes f choose which of its addresses the host names to a peer, and to which of
// the peer's addresses it connects. Addresses look like /ip4/A/tcp/P. A call of f gets some of
// them, and addresses that f adds are ignored. Calls come from several goroutines. Default: all,
// except those that are never dialled (docs/protocol.md).
func WithAddrFilter(f AddrFilter) Option {
	return func(c *config) error {
		if f == nil {
			return errors.New("WithAddrFilter without a filter")
		}
		c.addrFilter = f
		return nil
	}
}

// WithLimits bounds what peers can make the host do: attempts, and SYNs, since the addresses that a
// peer names need not be its own. Where l has zero the default of [holepunch.Limits] applies.
// docs/security.md has the figures behind the defaults.
func WithLimits(l holepunch.Limits) Option {
	return func(c *config) error {
		c.limits = l
		if err := l.Check(); err != nil {
			return fmt.Errorf("WithLimits: %w", err)
		}
		return nil
	}
}

// WithSocketControl calls f with every socket of the transport before it is bound, as the Control
// of [net.Dialer] and [net.ListenConfig] is called. VPN programs mark their sockets with it, or
// bind them to an interface, so that these do not lead into the tunnel. Calls of f come from
// several goroutines. An error of f fails the socket. Default: none.
//
// The host's other transports have sockets of their own, also where one of them dials a peer's
// public listener for this transport: [tcp.WithDialerForAddr] takes a [net.Dialer] with the same f.
//
// [tcp.WithDialerForAddr]:
// https://pkg.go.dev/github.com/libp2p/go-libp2p/p2p/transport/tcp#WithDialerForAddr
func WithSocketControl(f func(network, address string, c syscall.RawConn) error) Option {
	return func(c *config) error { c.control = f; return nil }
}

// WithTracer calls f for every step of every attempt. Calls come from several goroutines, and
// attempts wait for them: f must be quick. Default: none.
func WithTracer(f func(Event)) Option {
	return func(c *config) error { c.tracer = f; return nil }
}

// WithLogger makes the transport log to l. Default: go-libp2p's logger for "simopen", which
// GOLOG_LOG_LEVEL="simopen=debug" turns on.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("WithLogger without a logger")
		}
		c.log = l
		return nil
	}
}

// WithRegisterer registers the Prometheus metrics, libp2p_simopen_*, with r. Hosts of one process
// share them, as in go-libp2p. Without a registerer nothing is counted. Building the host panics if
// r has other metrics of these names, as with go-libp2p's own. Default: with [Enable], the
// registerer of the host's own metrics, and none after [libp2p.DisableMetrics]; with [New], none.
//
// [libp2p.DisableMetrics]: https://pkg.go.dev/github.com/libp2p/go-libp2p#DisableMetrics
func WithRegisterer(r prometheus.Registerer) Option {
	return func(c *config) error { c.registerer = r; return nil }
}

// WithPortGuessing lets the host guess ports, with peers that have it as well. It is for the pairs
// of NATs that nothing else gets through: one NAT gives every destination another port, at random,
// and the other lets in only ports that were sent to. docs/nat.md has the odds.
//
// The host tries up to 200 ports a second for 10 s, with two SYNs each, from up to 256 sockets, for
// one peer at a time. A minute passes between two such attempts of the host. An attempt that failed
// is repeated while the relayed connection lasts. Default: off, since some networks take it for a
// scan.
func WithPortGuessing() Option {
	return func(c *config) error { c.guess = true; return nil }
}
