package transport

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	dcutr "github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["peer"] = peerRole }

type peerConfig struct {
	Relay        peer.AddrInfo
	STUN         []string
	Listen       []string      // multiaddrs; none: only relayed connections come in
	Announce     []string      // multiaddrs that the host advertises besides its own
	Private      bool          // libp2p.ForceReachabilityPrivate
	HolePunching bool          // DCUtR is on beside simopen
	NoLimits     bool          // the resource manager allows any number of connections a second
	Guess        bool          // WithPortGuessing
	NoNetlink    bool          // the kernel refuses netlink sockets to the process
	Marked       bool          // WithSocketControl of markSocket
	OnRequest    bool          // WithOnRequestOnly
	Ports        int           // WithWarmPorts, unless 0
	Grace        time.Duration // WithRelayGrace, unless 0
	Timeout      time.Duration // WithTimeout, unless 0
	Limits       holepunch.Limits
	Key          []byte   // the host's, for the same identity after a restart
	Stock        bool     // go-libp2p as it is, without simopen
	Options      []string // further ones, keys of hostOptions
	EnableLast   bool     // Enable is the last of the options, not the first
}

// A command is what the parent of a peer asks of it.
type command struct {
	Do     string        // a key of commands
	Peer   peer.ID       `json:",omitempty"` // an empty one cannot be read
	At     peer.AddrInfo `json:",omitzero"`  // of "connect"; of "dial", if not at the relay
	Direct bool          // of "look" and "ping"
	Since  time.Time     `json:",omitzero"` // of "back"
}

// An outcome is how a command ended, and what the peer got by it.
type outcome struct {
	Err    string
	Reason holepunch.Reason // of Err

	Direct    bool // there is a direct connection
	Remote    string
	Direction string        // of the direct connection
	Took      time.Duration // from the relayed connection to the direct one, or until that failed first
}

// A step is an Event of the tracer.
type step struct {
	Peer        peer.ID
	Kind        holepunch.EventKind
	Direction   string
	Port        uint16
	Own, Theirs []string
	Remote, Err string
	Reason      holepunch.Reason
	At          time.Time
}

type peerStats struct {
	Port       uint16 // the host's own punching port
	Goroutines int
	System     network.ScopeStat // of the resource manager
}

// A labHost is the peer's process, seen from inside.
type labHost struct {
	host.Host
	cfg  peerConfig
	at   string // reflexive addresses, see moved
	soon bool   // peers that have refused are asked again soon

	mu      sync.Mutex
	steps   []step
	made    map[peer.ID]int  // direct connections so far
	dcutr   []string         // what DCUtR has reported
	open    map[peer.ID]bool // an attempt is under way
	changed chan struct{}    // closed at the next step
}

// commands are what a peer can do. Each returns what is emitted.
var commands = map[string]func(*labHost, context.Context, command) any{
	"join":    (*labHost).join,
	"reserve": (*labHost).reserve,
	"learn":   (*labHost).learn,
	"dial":    (*labHost).dial,
	"look":    (*labHost).look,
	"forget":  (*labHost).forget,
	"leave":   (*labHost).leave,
	"steps":   (*labHost).takeSteps,
	"stats":   (*labHost).stats,
	"ports":   (*labHost).punchingPorts,
}

// peerRole is a libp2p host with simopen. It emits its ID, and then an answer to each command.
func peerRole(c *labtest.Child) error {
	h := &labHost{made: make(map[peer.ID]int), open: make(map[peer.ID]bool), changed: make(chan struct{})}
	if err := c.Config(&h.cfg); err != nil {
		return err
	}
	if h.cfg.NoNetlink {
		if err := c.NoNetlink(); err != nil {
			return err
		}
	}
	var err error
	if h.Host, err = libp2p.New(h.options()...); err != nil {
		return err
	}
	defer h.Close()
	if h.soon {
		find(h).waits = observerWaits{refused: 3 * time.Second, most: 6 * time.Second, back: time.Second}
	}
	h.countDirect()
	h.takeTransfers()
	if err := c.Emit(h.ID()); err != nil {
		return err
	}
	for {
		var cmd command
		switch err := c.Receive(&cmd); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		do := commands[cmd.Do]
		if do == nil {
			return fmt.Errorf("no such command: %q", cmd.Do)
		}
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout/2)
		answer := do(h, ctx, cmd)
		cancel()
		if err := c.Emit(answer); err != nil {
			return err
		}
	}
}

func (h *labHost) options() []libp2p.Option {
	opts := []libp2p.Option{
		libp2p.NoListenAddrs, // not the default ones
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
	}
	enable := Enable(h.simopen()...)
	if h.cfg.Stock {
		enable = nil
	}
	if !h.cfg.EnableLast {
		opts = append(opts, enable)
	}
	if h.cfg.NoLimits {
		opts = append(opts, libp2p.ResourceManager(&network.NullResourceManager{}))
	}
	if len(h.cfg.Listen) > 0 {
		opts[0] = libp2p.ListenAddrStrings(h.cfg.Listen...)
	}
	if len(h.cfg.Announce) > 0 {
		opts = append(opts, libp2p.AddrsFactory(func(as []ma.Multiaddr) []ma.Multiaddr {
			return append(slices.Clone(as), multiaddrs(h.cfg.Announce)...)
		}))
	}
	if key, err := crypto.UnmarshalPrivateKey(h.cfg.Key); err == nil {
		opts = append(opts, libp2p.Identity(key))
	}
	if h.cfg.Private {
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	}
	if h.cfg.HolePunching {
		opts = append(opts, libp2p.EnableHolePunching(dcutr.WithTracer(h)))
	}
	for _, name := range h.cfg.Options {
		opts = append(opts, hostOptions[name](h)...)
	}
	if h.cfg.EnableLast {
		opts = append(opts, enable)
	}
	return opts
}

func (h *labHost) simopen() []Option {
	opts := []Option{WithSTUNServers(h.cfg.STUN...), WithTracer(h.trace), WithLimits(h.cfg.Limits)}
	if h.cfg.Guess {
		opts = append(opts, WithPortGuessing())
	}
	if h.cfg.Marked {
		opts = append(opts, WithSocketControl(markSocket))
	}
	if h.cfg.Ports != 0 {
		opts = append(opts, WithWarmPorts(h.cfg.Ports))
	}
	if h.cfg.Grace != 0 {
		opts = append(opts, WithRelayGrace(h.cfg.Grace))
	}
	if h.cfg.Timeout != 0 {
		opts = append(opts, WithTimeout(h.cfg.Timeout))
	}
	if h.cfg.OnRequest {
		opts = append(opts, WithOnRequestOnly())
	}
	return opts
}

// outcome reports the connections to p.
func (h *labHost) outcome(p peer.ID, err error) outcome {
	o := failed(err)
	begin, end := time.Now(), h.firstFinished(p)
	if c := relayedConn(h, p); c != nil {
		begin = c.Stat().Opened
	}
	if c := directConn(h, p); c != nil {
		o.Direct = true
		o.Remote = c.RemoteMultiaddr().String()
		o.Direction = c.Stat().Direction.String()
		end = c.Stat().Opened
	}
	o.Took = end.Sub(begin)
	return o
}

// firstFinished is when an attempt with p ended first, or now.
func (h *labHost) firstFinished(p peer.ID) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.steps {
		if s.Peer == p && s.Kind == Finished {
			return s.At
		}
	}
	return time.Now()
}

// trace keeps the steps. It is the tracer of the host.
func (h *labHost) trace(e Event) {
	s := step{Peer: e.Peer, Kind: e.Kind, Direction: e.Direction.String(), Port: e.Port, At: time.Now()}
	for _, a := range e.Own {
		s.Own = append(s.Own, a.String())
	}
	for _, a := range e.Theirs {
		s.Theirs = append(s.Theirs, a.String())
	}
	if e.Remote != nil {
		s.Remote = e.Remote.String()
	}
	if e.Err != nil {
		s.Err, s.Reason = e.Err.Error(), holepunch.ReasonOf(e.Err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps = append(h.steps, s)
	switch e.Kind {
	case Started:
		h.open[e.Peer] = true
	case Finished:
		h.open[e.Peer] = false
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *labHost) awaitFinished(ctx context.Context, p peer.ID) error {
	for {
		h.mu.Lock()
		open, changed := h.open[p], h.changed
		h.mu.Unlock()
		if !open {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
