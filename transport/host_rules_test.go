package transport

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A gater refuses what goes over, or leads to, a direct connection in one hook.
type gater struct {
	hook      string
	relayPort string
}

func direct(a ma.Multiaddr) bool { return !strings.Contains(a.String(), "p2p-circuit") }

func (g gater) allow(hook string, a network.ConnMultiaddrs, opened network.Direction) bool {
	return g.hook != hook || !direct(a.RemoteMultiaddr()) || !g.ephemeral(a)
}

// ephemeral distinguishes a connection between two punching ports from one to the relay by the
// relay's port. Neither has a peer ID in its addresses.
func (g gater) ephemeral(a network.ConnMultiaddrs) bool {
	port, _ := a.RemoteMultiaddr().ValueForProtocol(ma.P_TCP)
	return port != g.relayPort
}

func (g gater) InterceptPeerDial(peer.ID) bool { return true }
func (g gater) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool {
	port, _ := a.ValueForProtocol(ma.P_TCP)
	return g.hook != "InterceptAddrDial" || !direct(a) || port == g.relayPort || port == ""
}
func (g gater) InterceptAccept(a network.ConnMultiaddrs) bool {
	return g.allow("InterceptAccept", a, network.DirInbound)
}
func (g gater) InterceptSecured(d network.Direction, _ peer.ID, a network.ConnMultiaddrs) bool {
	return g.allow("InterceptSecured", a, d)
}
func (g gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.allow("InterceptUpgraded", c, c.Stat().Direction), 0
}

// fewSYNs is how many connects there are of a side whose punch ends at once, or would have come up
// at once: the first ones, and a repetition or two. In 10 s there are hundreds.
const fewSYNs = 20

// countConnects counts the SYNs of a host.
func countConnects(n *atomic.Int32) Option {
	return WithTracer(func(e Event) {
		if e.Kind == holepunch.Connecting {
			n.Add(1)
		}
	})
}

// TestGater: each hook of the host's gater is asked, on either side, and its refusal ends the punch
// at once, with its reason.
func TestGater(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, hook := range []string{"InterceptAddrDial", "InterceptAccept", "InterceptSecured", "InterceptUpgraded"} {
		for _, side := range []string{"responder", "initiator"} {
			t.Run(side+"/"+hook, func(t *testing.T) {
				t.Parallel()
				for n := 1; !wantGated(t, servers, hook, side); n++ {
					if n == 10 {
						t.Fatal("the initiator never has a connection that it has accepted")
					}
				}
			})
		}
	}
}

// wantGated makes an attempt that a hook of one side's gater is to end. It returns false if the
// initiator's InterceptAccept was not asked, since the initiator has connected and not accepted.
func wantGated(t *testing.T, servers Option, hook, side string) (asked bool) {
	t.Helper()
	relay := newRelay(t)
	relayPort, _ := relay.Addrs()[0].ValueForProtocol(ma.P_TCP)
	opts := map[string][]libp2p.Option{"responder": nil, "initiator": nil}
	opts[side] = []libp2p.Option{libp2p.ConnectionGater(gater{hook, relayPort})}
	var syns [2]atomic.Int32
	a := newPeer(t, append(opts["responder"], Enable(servers, WithOnRequestOnly(), countConnects(&syns[0])))...)
	var connected atomic.Bool
	b := newPeer(t, append(opts["initiator"], Enable(servers, WithOnRequestOnly(), WithTracer(func(e Event) {
		switch e.Kind {
		case holepunch.Connecting:
			syns[1].Add(1)
		case holepunch.Connected:
			connected.Store(true)
		}
	})))...)
	answered, offered := subscribe(t, a, new(EvtPunchFinished)), subscribe(t, b, new(EvtPunchFinished))
	relayed := connectRelayed(t, relay, a, b)
	_, err := DirectConnect(testContext(t), b, a.ID())
	if side == "initiator" && hook == "InterceptAccept" && err == nil && connected.Load() {
		return false
	}
	of := map[string]EvtPunchFinished{"responder": next[EvtPunchFinished](t, answered), "initiator": next[EvtPunchFinished](t, offered)}
	if got := of[side]; got.Reason != ErrGated {
		t.Errorf("the side that refuses has %v, want ErrGated", got.Err)
	}
	delete(of, side)
	// The swarm asks when the other one may have the connection already, and closes it.
	if late := hook == "InterceptUpgraded"; !late {
		for other, got := range of {
			var remote *holepunch.RemoteError
			if !errors.As(got.Err, &remote) || !strings.Contains(remote.Detail, "gater") {
				t.Errorf("the %s has %v, want the other side's reason", other, got.Err)
			}
		}
	}
	if err == nil && !(side == "responder" && hook == "InterceptUpgraded") {
		t.Error("direct in spite of the gater")
	}
	for i := range syns {
		if n := syns[i].Load(); n > fewSYNs {
			t.Errorf("%d connects", n)
		}
	}
	for deadline := time.Now().Add(testTimeout); directConn(a, b.ID()) != nil || directConn(b, a.ID()) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("a direct connection is there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	wantUntouched(t, relayed)
	return true
}

// newLimited makes a host whose resource manager allows conns connections of a
// peer.
func newLimited(t *testing.T, conns int, opts ...libp2p.Option) host.Host {
	t.Helper()
	limits := rcmgr.PartialLimitConfig{
		PeerDefault: rcmgr.ResourceLimits{Conns: rcmgr.LimitVal(conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(conns)},
	}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)))
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, append(opts, libp2p.ResourceManager(m))...)
}

func peerStat(t *testing.T, h host.Host, p peer.ID) (stat network.ScopeStat) {
	t.Helper()
	if err := h.Network().ResourceManager().ViewPeer(p, func(s network.PeerScope) error {
		stat = s.Stat()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return stat
}

// TestResourceManager: the connection is accounted for, and a limit is kept and
// named as the reason.
func TestResourceManager(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newLimited(t, 2, Enable(servers)), newLimited(t, 2, Enable(servers))
	connectRelayed(t, relay, a, b)
	ctx := testContext(t)
	c, err := DirectConnect(ctx, b, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got := peerStat(t, b, a.ID()); got.NumConnsOutbound != 2 || got.NumFD != 1 {
		t.Errorf("at the initiator %+v, want 2 connections out, one of them with a file descriptor", got)
	}
	if _, err := DirectConnect(ctx, a, b.ID()); err != nil {
		t.Fatal(err)
	}
	if got := peerStat(t, a, b.ID()); got.NumConnsInbound != 2 || got.NumFD != 2 {
		t.Errorf("at the responder %+v, want 2 connections in, both with a file descriptor as go-libp2p counts", got)
	}
	if c.Close(); peerStat(t, b, a.ID()).NumFD != 0 {
		t.Error("a closed connection is still accounted for")
	}
}

// TestResourceLimit: what the resource manager refuses ends the punch within its patience, and both
// sides know why, whichever it is.
func TestResourceLimit(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			relay := newRelay(t)
			limit := map[string]int{"initiator": 100, "responder": 100}
			limit[side] = 1 // for the relayed connection
			var syns [2]atomic.Int32
			a := newLimited(t, limit["responder"], Enable(servers, WithOnRequestOnly(), countConnects(&syns[0])))
			b := newLimited(t, limit["initiator"], Enable(servers, WithOnRequestOnly(), countConnects(&syns[1])))
			answered, offered := subscribe(t, a, new(EvtPunchFinished)), subscribe(t, b, new(EvtPunchFinished))
			relayed := connectRelayed(t, relay, a, b)
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			_, err := DirectConnect(ctx, b, a.ID())
			if side == "initiator" && (!errors.Is(err, network.ErrResourceLimitExceeded) || holepunch.ReasonOf(err) != holepunch.ErrResourceLimit) {
				t.Fatalf("got %v, want ErrResourceLimitExceeded and ErrResourceLimit", err)
			}
			var remote *holepunch.RemoteError
			if side == "responder" && (!errors.As(err, &remote) || !strings.Contains(remote.Detail, "resource manager")) {
				t.Fatalf("got %v, want the responder's reason", err)
			}
			for who, e := range map[string]EvtPunchFinished{"responder": next[EvtPunchFinished](t, answered), "initiator": next[EvtPunchFinished](t, offered)} {
				want := holepunch.ErrBusy // as the peer says
				if who == side {
					want = holepunch.ErrResourceLimit
				}
				if e.Reason != want {
					t.Errorf("the %s has %v, want %v", who, e.Err, want)
				}
			}
			for i := range syns {
				if n := syns[i].Load(); n > fewSYNs {
					t.Errorf("%d connects", n)
				}
			}
			if got := peerStat(t, b, a.ID()); got.NumFD != 0 {
				t.Errorf("%+v is left", got)
			}
			wantUntouched(t, relayed)
		})
	}
}
