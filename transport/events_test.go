package transport

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// subscribe returns the events of these types on h's bus from now on.
func subscribe(t testing.TB, h host.Host, types ...any) event.Subscription {
	t.Helper()
	sub, err := h.EventBus().Subscribe(types)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub
}

// next is the next event of a subscription, which has to be of type E.
func next[E any](t testing.TB, sub event.Subscription) E {
	t.Helper()
	select {
	case e := <-sub.Out():
		got, ok := e.(E)
		if !ok {
			t.Fatalf("got %T %+v, want %T", e, e, got)
		}
		return got
	case <-testContext(t).Done():
	}
	t.Fatalf("no %T", *new(E))
	panic("unreachable")
}

// Both sides' buses have an event for a punch, once.
func TestEvents(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	punches := []any{new(EvtPunchStarted), new(EvtPunchFinished)}
	subs := map[host.Host]event.Subscription{a: subscribe(t, a, punches...), b: subscribe(t, b, punches...)}
	connectRelayed(t, relay, a, b)
	others := map[host.Host]host.Host{a: b, b: a}
	dirs := map[host.Host]network.Direction{a: network.DirInbound, b: network.DirOutbound}
	for h, sub := range subs {
		if got, want := next[EvtPunchStarted](t, sub), (EvtPunchStarted{others[h].ID(), dirs[h]}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		got := next[EvtPunchFinished](t, sub)
		if got.Err != nil || got.Reason != "" || got.Took <= 0 || got.Peer != others[h].ID() || got.Direction != dirs[h] {
			t.Errorf("got %+v, want a success with %s", got, others[h].ID())
		}
		c, err := DirectConnect(testContext(t), h, others[h].ID())
		if err != nil {
			t.Fatal(err)
		}
		if got.Remote == nil || !got.Remote.Equal(c.RemoteMultiaddr()) {
			t.Errorf("remote %v, want %v", got.Remote, c.RemoteMultiaddr())
		}
	}
	// A late subscriber learns what the NAT was found to be.
	if got := next[EvtNATLearnt](t, subscribe(t, a, new(EvtNATLearnt))); got.Err != nil {
		t.Errorf("got %+v", got)
	}
}

// What fails before a packet was sent has an event as well.
func TestEventOfFailure(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a, b := newPeer(t), newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
	sub := subscribe(t, b, new(EvtPunchStarted), new(EvtPunchFinished))
	connectRelayed(t, relay, a, b)
	next[EvtPunchStarted](t, sub)
	got := next[EvtPunchFinished](t, sub)
	if got.Reason != ErrPeerUnsupported || !errors.Is(got.Err, ErrPeerUnsupported) || got.Remote != nil {
		t.Errorf("got %+v, want that the peer has no simopen", got)
	}
}
