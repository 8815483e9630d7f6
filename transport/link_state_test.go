package transport

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A stubHost has the connections that it was given, all to one peer.
type stubHost struct {
	host.Host
	network stubNetwork
}

func (h *stubHost) Network() network.Network { return &h.network }

type stubNetwork struct {
	network.Network
	conns []network.Conn
}

func (n *stubNetwork) ConnsToPeer(peer.ID) []network.Conn { return n.conns }

type stubConn struct {
	network.Conn
	addr   string
	closed atomic.Bool
}

func (c *stubConn) RemotePeer() peer.ID           { return "peer" }
func (c *stubConn) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(c.addr) }
func (c *stubConn) IsClosed() bool                { return c.closed.Load() }
func (c *stubConn) GetStreams() []network.Stream  { return nil }
func (c *stubConn) Close() error                  { c.closed.Store(true); return nil }
func (c *stubConn) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}
}

func (h *stubHost) add(addr string) *stubConn {
	c := &stubConn{addr: addr}
	h.network.conns = append(h.network.conns, c)
	return c
}

func (h *stubHost) remove(c *stubConn) {
	h.network.conns = slices.DeleteFunc(h.network.conns, func(o network.Conn) bool { return o == c })
}

const (
	stubRelayed = "/ip4/192.0.2.1/tcp/4001/p2p-circuit"
	stubDirect  = "/ip4/192.0.2.2/tcp/4001"
)

// stubWatcher is one whose events a test brings about itself, in the order that it wants. The
// peer filter refuses the peer, and counts how often it was asked.
func stubWatcher(t *testing.T, grace time.Duration) (*watcher, *stubHost, *atomic.Int32) {
	h, asked := &stubHost{}, new(atomic.Int32)
	filter := func(peer.ID) bool { asked.Add(1); return false }
	tr := &Transport{cfg: config{grace: grace, peerFilter: filter}, log: log, host: h}
	tr.ctx, tr.cancel = context.WithCancel(context.Background())
	w := &watcher{t: tr, h: h, links: make(map[peer.ID]*link), due: make(chan due), ended: make(chan ended, 10)}
	t.Cleanup(func() {
		for _, l := range w.links {
			l.disarm()
		}
		tr.cancel()
		tr.running.Wait()
	})
	return w, h, asked
}

// A relayed connection that comes beside a direct one has the whole grace time.
func TestGraceOfAnotherRelayedConnection(t *testing.T) {
	w, h, _ := stubWatcher(t, time.Hour)
	h.add(stubDirect)
	w.open(h.add(stubRelayed))
	l := w.links["peer"]
	first := due{l, l.turn}
	another := h.add(stubRelayed)
	w.open(another)
	w.look(first)
	w.t.running.Wait()
	if another.IsClosed() {
		t.Error("closed when the first one's time was over")
	}
	w.look(due{l, l.turn})
	w.t.running.Wait()
	if !another.IsClosed() {
		t.Error("not closed when its own time was over")
	}
}

// The time to punch again comes when a direct connection is there of which the watcher has not heard.
func TestGraceOfAConnectionUnheardOf(t *testing.T) {
	w, h, _ := stubWatcher(t, -1)
	relayed := h.add(stubRelayed)
	w.open(relayed)
	l := w.links["peer"]
	w.repeat(l, lostWait)
	h.add(stubDirect)
	w.look(due{l, l.turn})
	w.t.running.Wait()
	if relayed.IsClosed() {
		t.Error("the relayed connection was closed without a grace time")
	}
}

// An attempt may fail although a direct connection came up meanwhile, by other means.
func TestGraceAfterAFailure(t *testing.T) {
	w, h, _ := stubWatcher(t, -1)
	h.add(stubDirect)
	w.open(h.add(stubRelayed))
	l := w.links["peer"]
	w.upgraded(l, holepunch.ErrNoConnection)
	if l.timer != nil {
		t.Error("the relayed connection will be closed, which shall stay")
	}
}

// A direct connection may die, and the time to make another come, before the attempt is heard of that made it.
func TestLostBeforeUpgraded(t *testing.T) {
	w, h, asked := stubWatcher(t, -1)
	w.open(h.add(stubRelayed))
	l := w.links["peer"]
	w.t.running.Wait()
	direct := h.add(stubDirect)
	w.open(direct)
	h.remove(direct)
	w.close(direct)
	w.look(due{l, l.turn})
	before := asked.Load()
	w.upgraded(l, nil)
	w.t.running.Wait()
	if asked.Load() == before {
		t.Error("no further attempt is made")
	}
}

// A relayed connection that takes the place of one that broke in an attempt is upgraded when that is over.
func TestRelayedConnectionReplacedInAnAttempt(t *testing.T) {
	w, h, asked := stubWatcher(t, -1)
	first := h.add(stubRelayed)
	w.open(first)
	l := w.links["peer"]
	w.t.running.Wait()
	h.remove(first)
	w.close(first)
	w.open(h.add(stubRelayed))
	w.t.running.Wait()
	before := asked.Load()
	w.upgraded(l, holepunch.ErrSignalLost)
	w.t.running.Wait()
	if asked.Load() == before {
		t.Error("no further attempt is made")
	}
	another := h.network.conns[0].(*stubConn)
	h.remove(another)
	w.close(another)
	w.upgraded(l, holepunch.ErrSignalLost)
	if len(w.links) > 0 {
		t.Error("the link outlives its connections")
	}
}

// A peer filter that takes its time holds up nobody else.
func TestSlowPeerFilter(t *testing.T) {
	w, h, _ := stubWatcher(t, -1)
	release := make(chan struct{})
	w.t.cfg.peerFilter = func(peer.ID) bool { <-release; return false }
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		w.open(h.add(stubRelayed))
	}()
	select {
	case <-opened:
	case <-testContext(t).Done():
		t.Error("the watcher waits for the filter")
	}
	close(release)
	<-opened
}
