package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// What cannot be meant is refused when the host is made, by name.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Option{
		"STUN server":    WithSTUNServers("stun:a:b:c"),
		"observer":       WithObservers(peer.AddrInfo{ID: "peer", Addrs: []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/udp/1/quic-v1")}}),
		"warm ports":     WithWarmPorts(3),
		"timeout":        WithTimeout(time.Millisecond),
		"WithLogger":     WithLogger(nil),
		"WithPeerFilter": WithPeerFilter(nil),
		"WithAddrFilter": WithAddrFilter(nil),
		"PeerAttempts":   WithLimits(holepunch.Limits{PeerAttempts: -1}),
	} {
		if _, err := New(nil, nil, nil, nil, nil, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	h := newHost(t)
	newByHand(t, h, nil, WithOnRequestOnly()) // an option that is nil libp2p leaves out, too
	for what, parts := range map[string]hostParts{
		"security": {Muxers: find(newHost(t, Enable())).parts.Muxers},
		"muxer":    {Security: find(newHost(t, Enable())).parts.Security},
	} {
		if _, err := New(parts.Security, parts.Muxers, nil, nil, nil); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("without %s: got %v", what, err)
		}
	}
}

// Nothing is upgraded until a caller asks.
func TestOnRequestOnly(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers, WithOnRequestOnly()))
	sub := subscribe(t, b, new(EvtPunchStarted), new(EvtPunchFinished))
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), a, b.ID()); err != nil {
		t.Fatal(err)
	}
	next[EvtPunchStarted](t, sub)
	if got := next[EvtPunchFinished](t, sub); got.Err != nil {
		t.Error(got.Err)
	}
	select {
	case e := <-sub.Out():
		t.Errorf("%+v, but only one was asked for", e)
	default:
	}
}

// A peer that is not wanted learns that, whichever side initiates, and no address is disclosed.
func TestPeerFilter(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	nobody := WithPeerFilter(func(peer.ID) bool { return false })
	for name, opts := range map[string][2][]Option{
		"of the dialler":  {{servers}, {servers, nobody}},
		"of the listener": {{servers, nobody}, {servers}},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t, Enable(opts[0]...)), newPeer(t, Enable(opts[1]...))
			filtering, other := b, a
			if len(opts[0]) > 1 {
				filtering, other = a, b
			}
			relayed := connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), filtering, other.ID()); holepunch.ReasonOf(err) != ErrPeerFiltered {
				t.Errorf("got %v, want that the filter refuses", err)
			}
			if _, err := DirectConnect(testContext(t), other, filtering.ID()); holepunch.ReasonOf(err) != holepunch.ErrDeclined {
				t.Errorf("got %v, want that the peer declines", err)
			}
			wantUntouched(t, relayed)
		})
	}
}

// An addrFilter leaves those addresses.
type addrFilter struct {
	local, remote func(ma.Multiaddr) bool
	asked         chan peer.ID
}

func (f addrFilter) FilterLocal(p peer.ID, as []ma.Multiaddr) []ma.Multiaddr {
	return f.filter(p, as, f.local)
}

func (f addrFilter) FilterRemote(p peer.ID, as []ma.Multiaddr) []ma.Multiaddr {
	return f.filter(p, as, f.remote)
}

func (f addrFilter) filter(p peer.ID, as []ma.Multiaddr, is func(ma.Multiaddr) bool) []ma.Multiaddr {
	select {
	case f.asked <- p:
	default:
	}
	return slices.DeleteFunc(slices.Clone(as), func(a ma.Multiaddr) bool { return !is(a) })
}

func TestAddrFilter(t *testing.T) {
	t.Parallel()
	all, none := func(ma.Multiaddr) bool { return true }, func(ma.Multiaddr) bool { return false }
	for name, test := range map[string]struct {
		local, remote func(ma.Multiaddr) bool
		want          holepunch.Reason // of the dialler, which has the filter
	}{
		"all":       {all, all, ""},
		"no local":  {none, all, holepunch.ErrNoAddress},
		"no remote": {all, none, holepunch.ErrNoCandidate},
	} {
		t.Run(name, func(t *testing.T) {
			servers := WithSTUNServers(stuntest.New(t))
			relay := newRelay(t)
			f := addrFilter{test.local, test.remote, make(chan peer.ID, 1)}
			a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers, WithAddrFilter(f)))
			relayed := connectRelayed(t, relay, a, b)
			_, err := DirectConnect(testContext(t), b, a.ID())
			if got := holepunch.ReasonOf(err); got != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if p := <-f.asked; p != a.ID() {
				t.Errorf("asked for %s, want %s", p, a.ID())
			}
			wantUntouched(t, relayed)
		})
	}
}

// The observers that are named are asked, and not the relay.
func TestObservers(t *testing.T) {
	t.Parallel()
	relay, named := newRelay(t), newHost(t)
	asked := make(chan network.Conn, 100)
	named.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { asked <- c }})
	a, b := newPeer(t, Enable(WithObservers(info(named)))), newPeer(t, Enable(WithObservers(info(named))))
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	default:
		t.Error("the observer was not asked")
	}
	for _, h := range []host.Host{a, b} {
		for _, s := range find(h).observers(0) {
			if p := s.(observer); p.id != named.ID() {
				t.Errorf("%s is to be asked", p)
			}
		}
	}
	t.Run("none", func(t *testing.T) {
		b := newPeer(t, Enable(WithObservers()))
		dialRelayed(t, relay, a, b)
		if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, ErrNoSTUNServer) {
			t.Errorf("got %v, want that nobody tells the address", err)
		}
	})
}

// With any number of warm ports the peers become direct.
func TestWarmPorts(t *testing.T) {
	for n := range defaultPorts + 1 {
		t.Run(itoa(uint16(n)), func(t *testing.T) {
			own := make(chan []ma.Multiaddr, 10)
			held := counted(t)["observer_sockets"]
			opts := []Option{WithSTUNServers(stuntest.New(t)), WithWarmPorts(n), WithRegisterer(prometheus.NewRegistry())}
			traced := append(opts, WithOnRequestOnly(), WithTracer(func(e Event) {
				if e.Kind == Offered {
					own <- e.Own
				}
			}))
			relay := newRelay(t)
			a, b := newPeer(t, Enable(opts...)), newPeer(t, Enable(traced...))
			connectRelayed(t, relay, a, b)
			eventually(t, "the ports are warm", func() bool {
				return counted(t)["observer_sockets"] >= held+float64(2*n) // of two hosts
			})
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
			ports := make(map[string]bool)
			for _, a := range <-own {
				port, _ := a.ValueForProtocol(ma.P_TCP)
				ports[port] = true
			}
			if want := max(n, 1); len(ports) != want {
				t.Errorf("punched from the ports %v, want %d", ports, want)
			}
		})
	}
}

// An attempt ends in its time, and says what it was at.
func TestTimeout(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	relay := newRelay(t)
	servers := WithSTUNServers(stuntest.New(t))
	a := newPeer(t, Enable(servers))
	b := newPeer(t, Enable(WithSTUNServers(silent.Addr().String()), WithObservers(), WithTimeout(time.Second)))
	connectRelayed(t, relay, a, b)
	_, err = DirectConnect(testContext(t), b, a.ID())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
	if want := "gather"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	logs := make(logged, 100)
	relay := newRelay(t)
	a, b := newPeer(t), newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithLogger(slog.New(logs))))
	connectRelayed(t, relay, a, b)
	ctx := testContext(t)
	for {
		select {
		case msg := <-logs:
			if msg == "relayed connection was not upgraded" {
				return
			}
		case <-ctx.Done():
			t.Fatal("it is not logged that the peer has no simopen")
		}
	}
}
