package transport

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// join connects to the relay; reserve makes a reservation there besides.
func (h *labHost) join(ctx context.Context, _ command) any { return failed(h.connectRelay(ctx)) }

// connectRelay connects to the relay. go-libp2p's identify may still be handling the end of an
// earlier connection, and then removes the addresses that Connect adds. It keeps permanent ones. A
// dial is given up after 5 s, for which a busy machine may stand still.
func (h *labHost) connectRelay(ctx context.Context) (err error) {
	h.Peerstore().AddAddrs(h.cfg.Relay.ID, h.cfg.Relay.Addrs, peerstore.PermanentAddrTTL)
	for range 3 {
		if err = h.Connect(ctx, h.cfg.Relay); err == nil {
			break
		}
		h.Network().(*swarm.Swarm).Backoff().Clear(h.cfg.Relay.ID)
	}
	return err
}

func (h *labHost) reserve(ctx context.Context, _ command) any {
	err := h.connectRelay(ctx)
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
	for {
		select {
		case e := <-learnt.Out():
			if e := e.(EvtNATLearnt); e.Err == nil {
				return e.Behaviour
			}
		case <-ctx.Done():
			return stun.Behaviour{}
		}
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

// look reports how an attempt of another peer ended here. With Direct it waits for the connection.
// It also waits for the end of an attempt that is under way: before the initiator's choice a
// connection has the addresses of the TCP connection that came up first.
func (h *labHost) look(ctx context.Context, cmd command) any {
	var err error
	if cmd.Direct {
		_, err = h.awaitDirect(ctx, cmd.Peer)
	}
	if err == nil {
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
	}
	h.Network().ResourceManager().ViewSystem(func(scope network.ResourceScope) error {
		s.System = scope.Stat()
		return nil
	})
	return s
}

// punchingPorts returns the ports that listen in the host's network namespace and are not those of
// its listeners. To read them takes the kernel some milliseconds.
func (h *labHost) punchingPorts(context.Context, command) any {
	var ports []string
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
