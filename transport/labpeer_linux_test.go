package transport

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	dcutr "github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["peer"] = peerRole }

type peerConfig struct {
	Relay        peer.AddrInfo
	STUN         []string
	Listen       []string // multiaddrs; none: only relayed connections come in
	Announce     []string // multiaddrs that the host tells others besides its own
	Private      bool     // the host is told that it is behind a NAT
	HolePunching bool     // DCUtR is on beside simopen
	NoLimits     bool     // the resource manager allows any number of connections a second
	Guess        bool     // WithPortGuessing
	Limits       holepunch.Limits
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
	Port       uint16   // the host's own punching port
	Ports      []string // that one, and the spare one
	Goroutines int
	System     network.ScopeStat // of the resource manager
}

// A labHost is the peer's process, seen from inside.
type labHost struct {
	host.Host
	cfg peerConfig
	at  string // reflexive addresses, see moved

	mu      sync.Mutex
	steps   []step
	made    map[peer.ID]int  // direct connections so far
	dcutr   []string         // what DCUtR has told
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
}

// peerRole is a libp2p host with simopen. It emits its ID, and then an answer to each command.
func peerRole(c *labtest.Child) error {
	h := &labHost{made: make(map[peer.ID]int), open: make(map[peer.ID]bool), changed: make(chan struct{})}
	if err := c.Config(&h.cfg); err != nil {
		return err
	}
	var err error
	if h.Host, err = libp2p.New(h.options()...); err != nil {
		return err
	}
	defer h.Close()
	h.countDirect()
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
	return opts
}

// join connects to the relay; reserve makes a reservation there besides.
func (h *labHost) join(ctx context.Context, _ command) any {
	return failed(h.Connect(ctx, h.cfg.Relay))
}

func (h *labHost) reserve(ctx context.Context, _ command) any {
	err := h.Connect(ctx, h.cfg.Relay)
	if err == nil {
		_, err = client.Reserve(ctx, h, h.cfg.Relay)
	}
	return failed(err)
}

// learn waits until the host knows its NAT, as it does some seconds after it came to a relay.
func (h *labHost) learn(ctx context.Context, _ command) any {
	learnt, err := h.EventBus().Subscribe(new(EvtNATLearnt))
	if err != nil {
		return failed(err)
	}
	defer learnt.Close()
	select {
	case e := <-learnt.Out():
		return e.(EvtNATLearnt).Behaviour
	case <-ctx.Done():
		return stun.Behaviour{}
	}
}

// dial dials a peer through the relay and waits for the direct connection.
func (h *labHost) dial(ctx context.Context, cmd command) any {
	if err := h.dialRelayed(ctx, cmd); err != nil {
		return failed(err)
	}
	if h.cfg.Stock {
		_, err := h.awaitDirect(ctx, cmd.Peer)
		return h.outcome(cmd.Peer, err)
	}
	// Without a deadline: DirectConnect has one of its own.
	_, err := DirectConnect(context.Background(), h, cmd.Peer)
	return h.outcome(cmd.Peer, err)
}

// dialRelayed dials a peer through the relay, or where the command says.
func (h *labHost) dialRelayed(ctx context.Context, cmd command) error {
	if cmd.At.ID != "" {
		return h.Connect(ctx, cmd.At)
	}
	circuit := ma.StringCast("/p2p/" + h.cfg.Relay.ID.String() + "/p2p-circuit")
	ai := peer.AddrInfo{ID: cmd.Peer}
	for _, a := range h.cfg.Relay.Addrs {
		ai.Addrs = append(ai.Addrs, a.Encapsulate(circuit))
	}
	return h.Connect(ctx, ai)
}

// look tells how an attempt of another peer ended here. With Direct it waits for the
// connection, without it for the end of an attempt that is under way.
func (h *labHost) look(ctx context.Context, cmd command) any {
	var err error
	if cmd.Direct {
		_, err = h.awaitDirect(ctx, cmd.Peer)
	} else {
		err = h.awaitFinished(ctx, cmd.Peer)
	}
	o := h.outcome(cmd.Peer, err)
	if err == nil && !o.Direct {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.steps {
			if s.Peer == cmd.Peer && s.Kind == Finished {
				o.Err, o.Reason = s.Err, s.Reason
			}
		}
	}
	return o
}

func multiaddrs(texts []string) (as []ma.Multiaddr) {
	for _, a := range texts {
		as = append(as, ma.StringCast(a))
	}
	return as
}

// forget closes all connections to a peer; leave closes those to everybody, the relay
// included, and forgets what happened, so that the next attempt starts as the first one did.
func (h *labHost) forget(_ context.Context, cmd command) any {
	h.Network().ClosePeer(cmd.Peer)
	h.Peerstore().RemovePeer(cmd.Peer)
	h.Peerstore().ClearAddrs(cmd.Peer)
	return failed(nil)
}

func (h *labHost) leave(ctx context.Context, _ command) any {
	for _, p := range h.Network().Peers() {
		h.forget(ctx, command{Peer: p})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps = nil
	clear(h.open)
	return failed(nil)
}

func (h *labHost) takeSteps(context.Context, command) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	steps := h.steps
	h.steps = nil
	return steps
}

func (h *labHost) stats(context.Context, command) any {
	s := peerStats{Goroutines: runtime.NumGoroutine()}
	if t := find(h); t != nil {
		s.Port, _ = t.agent.Port()
		s.Ports = h.punchingPorts()
	}
	h.Network().ResourceManager().ViewSystem(func(scope network.ResourceScope) error {
		s.System = scope.Stat()
		return nil
	})
	return s
}

// punchingPorts returns the ports that listen in the host's network namespace and are not those of
// its listeners.
func (h *labHost) punchingPorts() (ports []string) {
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			const address, state, listening = 1, 3, "0A"
			fields := strings.Fields(line)
			if len(fields) <= state || fields[state] != listening {
				continue
			}
			_, hex, _ := strings.Cut(fields[address], ":")
			n, err := strconv.ParseUint(hex, 16, 16)
			if port := itoa(uint16(n)); err == nil && !slices.Contains(ports, port) && !h.listensAt(port) {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

func (h *labHost) listensAt(port string) bool {
	return slices.ContainsFunc(h.Network().ListenAddresses(), func(a ma.Multiaddr) bool {
		p, _ := a.ValueForProtocol(ma.P_TCP)
		return p == port
	})
}

// awaitDirect waits for a direct connection, also of a host without simopen.
func (h *labHost) awaitDirect(ctx context.Context, p peer.ID) (network.Conn, error) {
	connected := make(chan struct{}, 1)
	n := &network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	for {
		if c := directConn(h, p); c != nil {
			return c, nil
		}
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func failed(err error) outcome {
	if err == nil {
		return outcome{}
	}
	return outcome{Err: err.Error(), Reason: holepunch.ReasonOf(err)}
}

// outcome tells what there is of connections to p.
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
