package transport

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A responder connects to the listener that an OFFER names, and to nothing else of that peer's.
func TestDialBackDoesNotScan(t *testing.T) {
	t.Parallel()
	elsewhere, told := newTrap(t)
	scanned := make(chan struct{})
	go func() {
		if c, err := elsewhere.Accept(); err == nil {
			c.Close()
			close(scanned)
		}
	}()
	named, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()

	relay := newRelay(t)
	finished := make(chan struct{}, 1)
	victim := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithTracer(func(e Event) {
		if e.Kind == Finished {
			finished <- struct{}{}
		}
	})))
	attacker := newPeer(t, libp2p.AddrsFactory(func(as []ma.Multiaddr) []ma.Multiaddr { return append(slices.Clone(as), told) }))
	connectRelayed(t, relay, victim, attacker)
	victim.Peerstore().AddAddr(attacker.ID(), told, time.Hour) // identify may be late, or choosy
	ctx := testContext(t)
	s, err := openRaw(ctx, attacker, victim.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	offer := newOffer(newCandidate(pb.Candidate_LISTENER, named.Addr().String()))
	w := pbio.NewDelimitedWriter(s)
	if err := w.WriteMsg(offer); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { named.Close() })
	defer stop()
	c, err := named.Accept()
	if err != nil {
		t.Fatalf("the listener was not connected to: %v", err)
	}
	c.Close()
	if err := w.WriteMsg(&pb.Message{Type: pb.Message_DONE, Attempt: offer.Attempt, Status: pb.Status_FAILED}); err != nil {
		t.Fatal(err)
	}
	<-finished
	select {
	case <-scanned:
		t.Error("connected to an address that the peer named elsewhere")
	default:
	}
}

// newElsewhere makes an attempt as initiator with a host that listens, and returns where that is.
func newElsewhere(t *testing.T) (a *attempt, listener netip.AddrPort, peer host.Host) {
	t.Helper()
	peer, h := newHost(t), newPeer(t, Enable())
	listener, ok := fromMultiaddr(peer.Addrs()[0])
	if !ok {
		t.Fatalf("%v is no TCP address", peer.Addrs())
	}
	return find(h).newAttempt(t.Context(), h, peer.ID(), network.DirOutbound), listener, peer
}

// An initiator connects to the listeners that the peer named, and has one connection of it.
func TestDialElsewhere(t *testing.T) {
	t.Parallel()
	a, listener, peer := newElsewhere(t)
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	if err := a.connectElsewhere(t.Context(), []netip.AddrPort{nobody, listener}, true); err != nil {
		t.Fatal(err)
	}
	c, ok := a.elsewhere.take()
	if !ok || c.RemotePeer() != peer.ID() {
		t.Fatalf("got %v, want a connection to the peer", c)
	}
	defer c.Close()
	a.release()
	if c.IsClosed() {
		t.Error("the connection was closed although it was taken")
	}
}

// A responder's connection to a listener is not closed in favour of a suspect one.
func TestDialBackBesideSuspect(t *testing.T) {
	t.Parallel()
	a, listener, peer := newElsewhere(t)
	defer a.release()
	a.dir = network.DirInbound
	if err := a.h.Connect(testContext(t), info(peer)); err != nil {
		t.Fatal(err)
	}
	old := directConn(a.h, peer.ID())
	a.t.peers.with(peer.ID(), func(s *peerState) { s.offered, s.offers = time.Now(), 1 }) // an attempt is under way
	dialled := make(chan error, 1)
	go func() { dialled <- a.dialBack(testContext(t), []netip.AddrPort{listener}, false) }()
	eventually(t, "there is another connection", func() bool { return len(peer.Network().ConnsToPeer(a.h.ID())) == 2 })
	select {
	case err := <-dialled:
		t.Fatalf("the suspect connection was preferred: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	old.Close()
	if err := <-dialled; err != nil {
		t.Error(err)
	}
	if c := directConn(a.h, peer.ID()); c == nil || c == old {
		t.Errorf("got %v, want the new connection", c)
	}
}

// What is not taken is closed, and gives back what it had.
func TestDialElsewhereInVain(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"not taken": false, "after the attempt": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, listener, peer := newElsewhere(t)
			if late {
				a.release()
			}
			err := a.connectElsewhere(t.Context(), []netip.AddrPort{listener}, true)
			if (err != nil) != late {
				t.Errorf("got %v", err)
			}
			a.release()
			eventually(t, "the peer has no connection", func() bool { return len(peer.Network().Conns()) == 0 })
			eventually(t, "everything was given back", func() bool { return peerStat(t, a.h, peer.ID()) == network.ScopeStat{} })
		})
	}
}

// A dial of a listener that does not answer has the host's last place. It gives way to the punch.
func TestListenerGivesWay(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	limits := rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{Conns: 1}}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)))
	if err != nil {
		t.Fatal(err)
	}
	h, p := newPeer(t, Enable(), libp2p.ResourceManager(m)), newHost(t).ID()
	a := find(h).newAttempt(t.Context(), h, p, network.DirOutbound)
	defer a.release()
	dialled := make(chan error, 1)
	go func() {
		dialled <- a.connectElsewhere(testContext(t), []netip.AddrPort{silent.Addr().(*net.TCPAddr).AddrPort()}, true)
	}()
	c, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := a.openScope(ma.StringCast("/ip4/127.0.0.1/tcp/4001")); err != nil {
		t.Errorf("no room for the punch: %v", err)
	}
	if err := <-dialled; err == nil {
		t.Error("the dial did not give way")
	}
}

// An initiator that listens notices a connection that the peer has made.
func TestPeerDialsListener(t *testing.T) {
	t.Parallel()
	a, _, peer := newElsewhere(t)
	a.listeners = []netip.AddrPort{netip.MustParseAddrPort("46.0.0.1:4001")}
	noticed := make(chan error, 1)
	go func() { noticed <- a.connectElsewhere(testContext(t), nil, true) }()
	if err := a.h.Connect(testContext(t), info(peer)); err != nil {
		t.Fatal(err)
	}
	if err := <-noticed; err != nil {
		t.Error(err)
	}
}

// Without listeners there is no other way.
func TestNoListeners(t *testing.T) {
	t.Parallel()
	a, _, _ := newElsewhere(t)
	for _, a.dir = range []network.Direction{network.DirOutbound, network.DirInbound} {
		if err := a.connectElsewhere(t.Context(), nil, false); err == nil {
			t.Errorf("%s: connected", a.dir)
		}
	}
}
