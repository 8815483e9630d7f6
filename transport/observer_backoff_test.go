package transport

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestObserverBackoff: a peer that refuses is left alone for longer and longer, until it answers,
// and one that the host has lost and is back at for a moment.
func TestObserverBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pt, waits := newPeerTable(), observerWaits{refused: time.Second, most: 3 * time.Second, back: 5 * time.Second}
		refused := errors.New("refused")
		// wantAsked wants the peer to be left alone for as long as least, and at most for twice as
		// long.
		wantAsked := func(least time.Duration, why error) {
			t.Helper()
			time.Sleep(least - 1)
			if err := pt.mayAsk("peer"); !errors.Is(err, why) {
				t.Errorf("before %v got %v, want %v", least, err, why)
			}
			time.Sleep(least)
			if err := pt.mayAsk("peer"); err != nil {
				t.Errorf("after %v got %v", 2*least, err)
			}
		}
		for i, least := range []time.Duration{1, 2, 3, 3} {
			if first := pt.observerFailed("peer", refused, waits); first != (i == 0) {
				t.Errorf("refusal %d: first %v", i, first)
			}
			wantAsked(least*time.Second, refused)
		}
		pt.observerAnswered("peer")
		if !pt.observerFailed("peer", refused, waits) {
			t.Error("a refusal after an answer is not the first")
		}
		wantAsked(time.Second, refused)
		pt.observerBack("peer", waits) // which it has not lost
		if err := pt.mayAsk("peer"); err != nil {
			t.Error(err)
		}
		pt.observerLost("peer", false, waits)
		pt.observerAnswered("peer") // what it was asked before
		if err := pt.mayAsk("peer"); !errors.Is(err, errObserverLost) {
			t.Errorf("after the loss got %v, want %v", err, errObserverLost)
		}
		time.Sleep(time.Second)
		pt.observerBack("peer", waits)
		wantAsked(5*time.Second, errObserverLost)
		pt.observerLost("peer", true, waits)
		pt.observerAnswered("peer")
		wantAsked(5*time.Second, errObserverLost)
		pt.observerFailed("peer", refused, waits)
		if pt.observerAnswered("peer"); len(pt.states) != 0 {
			t.Error("a peer that answers is remembered")
		}
		pt.observerLost("peer", false, waits)
		time.Sleep(10 * time.Second)
		time.Sleep(waits.most)
		if pt.forgetBackoffs(waits); len(pt.states) != 0 {
			t.Errorf("%d peers are remembered", len(pt.states))
		}
	})
}

// A lockedBuffer is a log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestFullRelay: a relay that has room for the hosts' own connections alone is asked once, and is
// the reason; the log has that once.
func TestFullRelay(t *testing.T) {
	t.Parallel()
	limit := rcmgr.WithNetworkPrefixLimit([]rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix("127.0.0.0/8"), ConnCount: 2}}, nil)
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.DefaultLimits.AutoScale()), limit)
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	relay := newRelayAt(t, "/ip4/127.0.0.1/tcp/0", libp2p.ResourceManager(m))
	a, b := newPeer(t, Enable(WithOnRequestOnly())), newPeer(t, Enable(WithLogger(logger), WithOnRequestOnly()))
	tellStrangers(t, relay, nil, a, b)
	relayed := connectRelayed(t, relay, a, b)
	for i := range 3 {
		_, err := DirectConnect(testContext(t), b, a.ID())
		wantObserveError(t, err, relay.ID())
		again := strings.Contains(err.Error(), "is not asked for another")
		asks := i == 0 // from both ports; the second may ask after the first was refused
		if !errors.Is(err, errObserverFull) || !again && !asks || holepunch.ReasonOf(err).Final() {
			t.Errorf("attempt %d: got %v, want that the relay is full", i, err)
		}
	}
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, relay.ID().String()) || !strings.Contains(text, "8 connections") {
		t.Errorf("the log is\n%s", text)
	}
	wantUntouched(t, relayed)
}

// TestObserverGivesWay: when the host's own connection to the relay breaks, the one that asks goes
// with it, and another one waits until reservations are through.
func TestObserverGivesWay(t *testing.T) {
	t.Parallel()
	relay, a, b := newRelay(t), newPeer(t, Enable()), newPeer(t, Enable(WithObservers(), WithOnRequestOnly()))
	find(a).waits.back = testTimeout // a reservation may take long
	tellStrangers(t, relay, nil, a, b)
	asking := make(chan network.Conn, 100)
	relay.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if p := c.RemotePeer(); p != a.ID() && p != b.ID() {
			asking <- c
		}
	}})
	connectRelayed(t, relay, a, b)
	var c network.Conn
	eventually(t, "the relay is asked", func() bool {
		find(a).agent.Prepare() // for 5 s
		select {
		case c = <-asking:
			return true
		default:
			return false
		}
	})
	relay.Network().ClosePeer(a.ID())
	eventually(t, "the connection goes", c.IsClosed)
	for len(asking) > 0 {
		<-asking
	}
	reserve(t, relay, a)
	eventually(t, "the host is back", func() (back bool) {
		find(a).peers.with(relay.ID(), func(s *peerState) { back = !s.observer.yieldUntil.IsZero() && s.observer.lost.IsZero() })
		return back
	})
	if err := find(a).peers.mayAsk(relay.ID()); !errors.Is(err, errObserverLost) {
		t.Errorf("got %v, want %v", err, errObserverLost)
	}
	find(a).agent.Prepare()
	if find(a).agent.Asks(); len(asking) > 0 {
		t.Error("it asks again at once")
	}
}
