package transport

import (
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// comeBack has listener get a relayed connection from dialler, whatever else there is between them.
func comeBack(t *testing.T, relay, dialler, listener host.Host) {
	t.Helper()
	before := relayedConn(listener, dialler.ID())
	addr := circuitInfo(relay, listener).Addrs[0]
	circuit := dialler.Network().(interface {
		TransportForDialing(ma.Multiaddr) tpt.Transport
	}).TransportForDialing(addr)
	c, err := circuit.Dial(testContext(t), addr, listener.ID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	awaitConns(t, listener, "another relayed connection", func() bool { return relayedConn(listener, dialler.ID()) != before })
}

// newDirectPair returns two peers with a relayed and a direct connection, and a's end of the
// latter.
func newDirectPair(t *testing.T) (relay, a, b host.Host, direct network.Conn) {
	t.Helper()
	servers := WithSTUNServers(stuntest.New(t))
	relay = newRelay(t)
	a, b = newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	connectRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	return relay, a, b, directConn(a, b.ID())
}

// A peer that comes back through the relay while its direct connection lives gets an echo over it,
// and the connection stays. No other peer's connection gets one.
func TestLiveConnectionStays(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b, c := newPeer(t, Enable(servers)), newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	connectRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	dialRelayed(t, relay, a, c)
	wantBothDirect(t, c, a)
	first, others := directConn(a, b.ID()), directConn(a, c.ID())
	for range 3 {
		comeBack(t, relay, b, a)
		if find(a).directConn(a, c.ID()) != others {
			t.Error("another peer's connection is suspect")
		}
		got, err := DirectConnect(testContext(t), a, b.ID())
		if err != nil {
			t.Fatal(err)
		}
		if got != first {
			t.Errorf("got %v, want the connection that was there, %v", got, first)
		}
	}
	for _, conn := range []network.Conn{first, others} {
		if err := pingOver(testContext(t), conn); err != nil {
			t.Error(err)
		}
	}
}

// While a direct connection is suspect, DirectConnect waits for the verdict, also if the relayed
// connection over which the peer has come back is gone.
func TestSuspectWithoutRelayed(t *testing.T) {
	t.Parallel()
	_, a, b, first := newDirectPair(t)
	for relayed := relayedConn(a, b.ID()); relayed != nil; relayed = relayedConn(a, b.ID()) {
		relayed.Close()
	}
	called := make(chan struct{})
	b.SetStreamHandler(echoID, func(s network.Stream) {
		<-called
		find(b).serveEcho(s)
	})
	defer find(a).peers.wait(b.ID())() // or the OFFER may be forgotten
	find(a).offered(b.ID())
	if find(a).directConn(a, b.ID()) != nil {
		t.Fatal("the direct connection is not suspect")
	}
	time.AfterFunc(20*time.Millisecond, func() { close(called) })
	if got, err := DirectConnect(testContext(t), a, b.ID()); err != nil || got != first {
		t.Errorf("got %v, %v, want the connection that was there, %v", got, err, first)
	}
}

// A peer whose system acknowledges what it gets, and whose process answers after more than
// probeTimeout, keeps its direct connection. Where the system does not tell, blindTimeout is
// longer.
func TestSuspectAnswersLate(t *testing.T) {
	t.Parallel()
	relay, a, b, first := newDirectPair(t)
	b.SetStreamHandler(echoID, func(s network.Stream) {
		time.Sleep(2 * probeTimeout)
		find(b).serveEcho(s)
	})
	comeBack(t, relay, b, a)
	if got, err := DirectConnect(testContext(t), a, b.ID()); err != nil || got != first || first.IsClosed() {
		t.Errorf("got %v, %v, want the connection that was there, %v", got, err, first)
	}
}

// A peer that comes back before any answer counts makes no caller wait for ever.
func TestSuspectForEver(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	soon := func(c *config) error { c.maxVerdict = 100 * time.Millisecond; return nil }
	a, b := newPeer(t, Enable(servers, soon)), newPeer(t, Enable(servers))
	connectRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	comeBack(t, relay, b, a)
	find(a).peers.with(b.ID(), func(s *peerState) { s.offered = time.Now().Add(time.Hour) })
	if c, err := DirectConnect(testContext(t), a, b.ID()); !errors.Is(err, holepunch.ErrNoAnswer) {
		t.Errorf("got %v, %v, want %v", c, err, holepunch.ErrNoAnswer)
	}
}
