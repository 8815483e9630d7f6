package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// Whoever waits for the peer's own attempt learns how it ended.
func TestAwaitInbound(t *testing.T) {
	for name, tc := range map[string]struct {
		events func(t *Transport, h *stubHost, p peer.ID, cancel context.CancelFunc)
		want   error // besides ErrGlare
		after  time.Duration
	}{
		"made by other means": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			h.add(stubDirect)
			t.peers.with(p, (*peerState).wake)
		}, nil, 0},
		"made": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			time.Sleep(time.Second)
			t.peers.endAnswer(p, nil)
			time.Sleep(3 * time.Second) // until the swarm has taken it
			h.add(stubDirect)
			t.peers.with(p, (*peerState).wake)
		}, nil, 4 * time.Second},
		"failed": {func(t *Transport, _ *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			time.Sleep(time.Second)
			t.peers.endAnswer(p, holepunch.ErrNoConnection)
		}, holepunch.ErrNoConnection, time.Second},
		"one of two failed": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			t.peers.beginAnswer("self", p)
			t.peers.endAnswer(p, holepunch.ErrNoConnection)
			time.Sleep(time.Second)
			h.add(stubDirect)
			t.peers.endAnswer(p, nil)
		}, nil, time.Second},
		"no OFFER": {func(*Transport, *stubHost, peer.ID, context.CancelFunc) {}, nil, inboundTimeout},
		"given up": {func(_ *Transport, _ *stubHost, _ peer.ID, cancel context.CancelFunc) {
			time.Sleep(time.Second)
			cancel()
		}, context.Canceled, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, h := &Transport{peers: newPeerTable()}, &stubHost{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				go tc.events(tr, h, "peer", cancel)
				done := tr.peers.wait("peer")
				err := tr.awaitInbound(ctx, h, "peer", answers{})
				done()
				if !errors.Is(err, ErrGlare) || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v and %v", err, ErrGlare, tc.want)
				}
				if took := time.Since(begin); took != tc.after {
					t.Errorf("took %v, want %v", took, tc.after)
				}
				synctest.Wait()
				if n := len(tr.peers.states); n > 0 {
					t.Errorf("%d peers are remembered", n)
				}
			})
		})
	}
}

// Whoever has given way to the peer's attempt learns that it failed, also if that was before the wait
// began.
func TestPeersAttemptFailedAtOnce(t *testing.T) {
	t.Parallel()
	tr, h, p := &Transport{peers: newPeerTable()}, &stubHost{}, peer.ID("peer")
	defer tr.peers.wait(p)()
	if err := tr.peers.beginAnswer("self", p); err != nil {
		t.Fatal(err)
	}
	before, ok := tr.peers.beginOffer(p)
	if ok {
		t.Fatal("offers although it is answering")
	}
	tr.peers.endAnswer(p, holepunch.ErrNoConnection)
	if err := tr.awaitInbound(testContext(t), h, p, before); !errors.Is(err, ErrGlare) || !errors.Is(err, holepunch.ErrNoConnection) {
		t.Errorf("got %v, want ErrGlare and why the peer's attempt failed", err)
	}
}
