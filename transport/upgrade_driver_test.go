package transport

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// awaitConns waits until what h has of connections to its peer is as wanted.
func awaitConns(t testing.TB, h host.Host, what string, is func() bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	note := func(network.Network, network.Conn) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	n := &network.NotifyBundle{ConnectedF: note, DisconnectedF: note}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	ctx := testContext(t)
	for !is() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s did not come to be", what)
		}
	}
}

// When the direct connection dies and the relayed one lives, another is made.
func TestPunchedAgain(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	relayed := connectRelayed(t, relay, a, b)
	for side, h := range map[string]host.Host{"initiator": b, "responder": a} {
		first, err := DirectConnect(testContext(t), b, a.ID())
		if err != nil {
			t.Fatal(err)
		}
		if h == b {
			first.Close()
		} else {
			c, err := DirectConnect(testContext(t), a, b.ID())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		awaitConns(t, b, "another direct connection after the "+side+"'s died", func() bool {
			c := directConn(b, a.ID())
			return c != nil && c != first
		})
	}
	if relayed.IsClosed() {
		t.Error("the relayed connection was closed")
	}
}

// A stubHost has the connections that it was given, all to one peer.
type stubHost struct {
	host.Host
	network stubNetwork
}

func (h *stubHost) Network() network.Network       { return &h.network }
func (h *stubHost) Peerstore() peerstore.Peerstore { return stubPeerstore{} }

type stubPeerstore struct{ peerstore.Peerstore }

func (stubPeerstore) Addrs(peer.ID) []ma.Multiaddr { return nil }

type stubNetwork struct {
	network.Network
	mu    sync.Mutex
	conns []network.Conn
}

func (n *stubNetwork) ConnsToPeer(peer.ID) []network.Conn { return n.Conns() }

func (n *stubNetwork) Conns() []network.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.conns)
}

type stubConn struct {
	network.Conn
	addr   string
	closed atomic.Bool
}

func (c *stubConn) RemotePeer() peer.ID           { return "peer" }
func (c *stubConn) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(c.addr) }
func (c *stubConn) LocalMultiaddr() ma.Multiaddr  { return ma.StringCast("/ip4/0.0.0.0/tcp/4001") }
func (c *stubConn) As(any) bool                   { return false }
func (c *stubConn) NewStream(context.Context) (network.Stream, error) {
	return nil, network.ErrResourceLimitExceeded // so that it cannot be checked
}
func (c *stubConn) IsClosed() bool               { return c.closed.Load() }
func (c *stubConn) GetStreams() []network.Stream { return nil }
func (c *stubConn) Close() error                 { c.closed.Store(true); return nil }
func (c *stubConn) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}
}

const (
	stubRelayed = "/ip4/192.0.2.1/tcp/4001/p2p-circuit"
	stubDirect  = "/ip4/192.0.2.2/tcp/4001"
)

// newStubDriver returns a driver whose connections a test brings about. The filter refuses its
// peer, so that attempts fail for good.
func newStubDriver(t *testing.T, grace time.Duration, filter func(peer.ID) bool) (*upgradeDriver, *stubHost) {
	h := &stubHost{}
	tr := &Transport{cfg: config{grace: grace, peerFilter: filter}, log: slog.New(slog.DiscardHandler), host: h, peers: newPeerTable()}
	tr.ctx, tr.cancel = context.WithCancel(context.Background())
	w := &upgradeDriver{
		t:      tr,
		h:      h,
		policy: upgradePolicy{grace: grace},
		sub:    stubSubscription{},
		done:   make(chan struct{}),
		queued: make(chan struct{}, 1),
	}
	w.notify = w.notifiee()
	go w.run()
	t.Cleanup(func() {
		tr.cancel()
		<-w.done
		tr.running.Wait()
	})
	return w, h
}

type stubSubscription struct{ event.Subscription }

func (stubSubscription) Out() <-chan any { return nil }

func (h *stubHost) add(addr string) *stubConn {
	c := &stubConn{addr: addr}
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	h.network.conns = append(h.network.conns, c)
	return c
}

// A relayed connection is closed after the grace period, and not by a timer that was set before.
func TestGracePeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, h := newStubDriver(t, time.Minute, func(peer.ID) bool { return false })
		relayed := h.add(stubRelayed)
		w.notify.Connected(nil, relayed)
		synctest.Wait()
		w.notify.Connected(nil, h.add(stubDirect))
		time.Sleep(time.Minute - 1)
		another := h.add(stubRelayed)
		w.notify.Connected(nil, another)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if relayed.IsClosed() || another.IsClosed() {
			t.Error("closed before the grace period of the second one was over")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !relayed.IsClosed() || !another.IsClosed() {
			t.Error("not closed when the grace period was over")
		}
		for _, c := range []*stubConn{relayed, another} {
			w.notify.Disconnected(nil, c)
		}
		synctest.Wait()
		if len(w.t.peers.states) > 0 {
			t.Error("the peer is remembered without relayed connections")
		}
	})
}

// The end of a connection may be queued before the news of it, when a driver starts.
func TestRelayedConnectionEndsBeforeItIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, h := newStubDriver(t, time.Minute, func(peer.ID) bool { return false })
		relayed := h.add(stubRelayed)
		relayed.Close()
		w.notify.Disconnected(nil, relayed)
		w.notify.Connected(nil, relayed)
		synctest.Wait()
		if len(w.t.peers.states) > 0 {
			t.Error("a connection that is gone is remembered")
		}
	})
}

// A notification returns at once, and the driver goes on, while a peer filter takes its time.
func TestNotificationsDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		asked := false
		w, h := newStubDriver(t, time.Minute, func(peer.ID) bool {
			asked = true
			<-release
			return false
		})
		w.notify.Connected(nil, h.add(stubRelayed))
		synctest.Wait()
		relayed := h.network.conns[0].(*stubConn)
		w.notify.Connected(nil, h.add(stubDirect))
		time.Sleep(time.Minute)
		synctest.Wait()
		if !asked {
			t.Error("the filter was not asked: this test shows nothing")
		}
		if !relayed.IsClosed() {
			t.Error("the driver waits for the filter")
		}
		close(release)
	})
}

// A connection that is there when the driver starts may be notified of as well.
func TestRelayedConnectionKnownTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int32
		w, h := newStubDriver(t, time.Minute, func(peer.ID) bool {
			attempts.Add(1)
			return false
		})
		relayed := h.add(stubRelayed)
		w.notify.Connected(nil, relayed)
		w.notify.Connected(nil, relayed)
		synctest.Wait()
		if n := attempts.Load(); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
	})
}

// A host is connected to a relay while it has a direct connection to it.
func TestRelayConns(t *testing.T) {
	t.Parallel()
	w := &portWarmer{relays: make(map[peer.ID]map[network.Conn]bool)}
	first, second, relayed, closed := &stubConn{addr: stubDirect}, &stubConn{addr: stubDirect}, &stubConn{addr: stubRelayed}, &stubConn{addr: stubDirect}
	closed.Close()
	add := func(c network.Conn) func() bool { return func() bool { return w.addRelay(c) } }
	remove := func(c network.Conn) func() bool { return func() bool { return len(w.removeRelay(c)) > 0 } }
	for i, tc := range []struct {
		event  func() bool
		want   bool
		relays int
	}{
		{add(relayed), false, 0},
		{add(closed), false, 0},
		{add(first), true, 1},
		{add(first), false, 1}, // identify was repeated
		{add(second), false, 1},
		{remove(first), true, 1},
		{remove(second), false, 0},
		{add(first), true, 1},
	} {
		if got := tc.event(); got != tc.want || len(w.relays) != tc.relays {
			t.Errorf("event %d: %v, %d relays; want %v, %d", i, got, len(w.relays), tc.want, tc.relays)
		}
	}
}
