package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// offerTargets sends an OFFER that names some of the targets. The stream stays open, so that the
// attempt goes on.
func offerTargets(h host.Host, victim peer.ID, targets []string) (named []string, answer *pb.Message, err error) {
	answer = new(pb.Message)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout/2)
	defer cancel()
	s, err := openRaw(ctx, h, victim)
	if err != nil {
		return nil, answer, err
	}
	m := newOffer()
	for _, i := range rand.Perm(len(targets))[:min(len(targets), maxCandidates)] {
		named = append(named, targets[i])
		m.Candidates = append(m.Candidates, newCandidate(pb.Candidate_REFLEXIVE, targets[i]))
	}
	if err := pbio.NewDelimitedWriter(s).WriteMsg(m); err != nil {
		return named, answer, err
	}
	return named, answer, pbio.NewDelimitedReader(s, 4096).ReadMsg(answer)
}

// maxCandidates is how many candidates a message may name.
const maxCandidates = 8

// privateAddrs are those that a message names.
func privateAddrs(m *pb.Message) (private []string) {
	for _, c := range m.Candidates {
		a, err := ma.NewMultiaddrBytes(c.Addr)
		if err != nil || !manet.IsPublicAddr(a) {
			private = append(private, fmt.Sprint(a, err))
		}
	}
	return private
}

// TestOfferFlood: a peer that sends too many OFFERs is refused with BUSY. That makes no events, and
// does not call the user's filter.
func TestOfferFlood(t *testing.T) {
	t.Parallel()
	const allowed, offers = 3, 50
	var asked atomic.Int64
	relay := newRelay(t)
	victim := newPeer(t, Enable(
		WithSTUNServers(stuntest.New(t)),
		WithLimits(holepunch.Limits{PeerOffers: holepunch.Rate{Burst: allowed, PerSecond: 1e-6}}),
		WithPeerFilter(func(peer.ID) bool { asked.Add(1); return true }),
	))
	attacker := newPeer(t)
	relayed := connectRelayed(t, relay, victim, attacker)
	events, err := victim.EventBus().Subscribe([]any{new(EvtPunchStarted), new(EvtPunchFinished)})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	statuses := make(map[pb.Status]int)
	for range offers {
		_, answer, err := offerTargets(attacker, victim.ID(), []string{"192.168.1.1:4001"})
		if err != nil {
			t.Fatal(err)
		}
		statuses[answer.Status]++
	}
	if statuses[pb.Status_NO_CANDIDATE] != allowed || statuses[pb.Status_BUSY] != offers-allowed {
		t.Errorf("answered %v, want %d looked at, and the others refused as too many", statuses, allowed)
	}
	if n := asked.Load(); n != allowed {
		t.Errorf("the peer filter was asked %d times, want %d", n, allowed)
	}
	eventually(t, fmt.Sprintf("%d attempts begin and end", allowed), func() bool { return len(events.Out()) == 2*allowed })
	wantNoEvent(t, events, 2*allowed)
	wantUntouched(t, relayed)
}

// wantNoEvent takes n events, and wants no more.
func wantNoEvent(t *testing.T, events event.Subscription, n int) {
	t.Helper()
	for range n {
		<-events.Out()
	}
	select {
	case e := <-events.Out():
		t.Errorf("one more event: %+v", e)
	default:
	}
}

// TestFilteredIsToldNothing: what a peer hears that the filter refuses is that, and no address.
func TestFilteredIsToldNothing(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	victim := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithPeerFilter(func(peer.ID) bool { return false })))
	attacker := newPeer(t)
	connectRelayed(t, relay, victim, attacker)
	_, answer, err := offerTargets(attacker, victim.ID(), []string{"46.0.2.1:4001"})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != pb.Status_DECLINED || len(answer.Candidates) > 0 || answer.Behaviour != nil || answer.Detail != "" {
		t.Errorf("told %v, want DECLINED and no more", answer)
	}
}

// TestNoSYNToSpare: an attempt for which no SYN is left reports that, if it fails because of it.
func TestNoSYNToSpare(t *testing.T) {
	t.Parallel()
	opts := []Option{
		WithSTUNServers(stuntest.New(t)),
		WithOnRequestOnly(),
		WithTimeout(briefTimeout),
		WithLimits(holepunch.Limits{HostSYNs: holepunch.Rate{Burst: 1, PerSecond: 1e-6}}),
	}
	relay := newRelay(t)
	a, b, other := newPeer(t, Enable(opts...)), newPeer(t, Enable(opts...)), newPeer(t)
	relayed := connectRelayed(t, relay, a, b)
	reserve(t, relay, b)
	for _, h := range []host.Host{a, b} { // each has one SYN, which the other one draws
		target, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		dialRelayed(t, relay, h, other)
		if answer := sendTargets(t, other, h, target.Addr().String()); answer.Status != pb.Status_OK {
			t.Fatalf("answered %v", answer)
		}
		c, err := target.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	finished := subscribe(t, a, new(EvtPunchFinished))
	_, err := DirectConnect(testContext(t), b, a.ID())
	answered := next[EvtPunchFinished](t, finished)
	for answered.Peer != b.ID() { // the end of the attempt before
		answered = next[EvtPunchFinished](t, finished)
	}
	// The side that gives up first knows why, and the other one hears that there is no connection.
	if !errors.Is(err, holepunch.ErrBusy) && answered.Reason != holepunch.ErrBusy {
		t.Errorf("got %v, and at the responder %v, want ErrBusy", err, answered.Err)
	}
	wantUntouched(t, relayed)
}

func sendTargets(t testing.TB, from, to host.Host, targets ...string) *pb.Message {
	t.Helper()
	_, answer, err := offerTargets(from, to.ID(), targets)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestBusyAsksNothing: a peer that has as many attempts under way as it may is refused with BUSY,
// and the user's filter is not called.
func TestBusyAsksNothing(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	relay := newRelay(t)
	victim := newPeer(t, Enable(
		WithSTUNServers(stuntest.New(t)),
		WithLimits(holepunch.Limits{PeerAttempts: 1}),
		WithPeerFilter(func(peer.ID) bool { asked.Add(1); return true }),
	))
	attacker := newPeer(t)
	connectRelayed(t, relay, victim, attacker)
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for i, want := range []pb.Status{pb.Status_OK, pb.Status_BUSY, pb.Status_BUSY} {
		_, answer, err := offerTargets(attacker, victim.ID(), []string{silent.Addr().String()})
		if err != nil || answer.Status != want {
			t.Fatalf("OFFER %d: answered %v, %v, want %s", i, answer, err, want)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the peer filter was asked %d times, want once", n)
	}
}
