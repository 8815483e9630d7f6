package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// offerTargets sends an OFFER that names some of the targets. The stream stays open, so that the attempt goes on.
func offerTargets(h host.Host, victim peer.ID, targets []string) (named []string, answer *pb.Message, err error) {
	answer = new(pb.Message)
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(context.Background(), "test"), testTimeout/2)
	defer cancel()
	s, err := h.NewStream(ctx, victim, holepunch.Protocol)
	if err != nil {
		return nil, answer, err
	}
	m := &pb.Message{Type: pb.Message_OFFER, Attempt: []byte(fmt.Sprintf("%016x", rand.Uint64()))}
	for _, i := range rand.Perm(len(targets))[:min(len(targets), holepunch.MaxCandidates)] {
		named = append(named, targets[i])
		m.Candidates = append(m.Candidates, &pb.Candidate{
			Kind: pb.Candidate_REFLEXIVE,
			Addr: toMultiaddr(netip.MustParseAddrPort(targets[i])).Bytes(),
		})
	}
	s.SetDeadline(time.Now().Add(testTimeout / 2))
	if err := pbio.NewDelimitedWriter(s).WriteMsg(m); err != nil {
		return named, answer, err
	}
	return named, answer, pbio.NewDelimitedReader(s, 4096).ReadMsg(answer)
}

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

// TestOfferFlood: a peer that offers more than its share is told that the host is busy. That makes no
// events, and asks the user's filter nothing.
func TestOfferFlood(t *testing.T) {
	const allowed, offers = 3, 50
	var asked atomic.Int64
	relay := newRelay(t)
	victim := newPeer(t, Enable(
		WithSTUNServers(newSTUNServer(t)),
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
	relay := newRelay(t)
	victim := newPeer(t, Enable(WithSTUNServers(newSTUNServer(t)), WithPeerFilter(func(peer.ID) bool { return false })))
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

// TestNoSYNToSpare: an attempt of ours for which no SYN is left says so.
func TestNoSYNToSpare(t *testing.T) {
	t.Parallel() // it waits, for the most part
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	a := newPeer(t, Enable(servers))
	b := newPeer(t, Enable(servers, WithOnRequestOnly(), WithLimits(holepunch.Limits{HostSYNs: holepunch.Rate{Burst: 1, PerSecond: 1e-6}})))
	relayed := connectRelayed(t, relay, a, b)
	budget, err := find(b).limiter.Begin("another")
	if err != nil {
		t.Fatal(err)
	}
	defer budget.End()
	if err := budget.Spend(t.Context(), netip.AddrFrom4([4]byte{127, 0, 0, 1})); err != nil {
		t.Fatal(err)
	}
	find(a).limiter = find(b).limiter // neither has one
	if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, holepunch.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	wantUntouched(t, relayed)
}

// TestKeeper: of peers that have attempts of their own some are protected, and of those that we
// have attempts with, all.
func TestKeeper(t *testing.T) {
	h := newHost(t)
	var k keeper
	ends := make(map[peer.ID]func())
	id := func(n int) peer.ID { return peer.ID(fmt.Sprint("peer ", n)) }
	for n := range 2 * maxKept {
		ends[id(n)] = k.protect(h, id(n), false)
		if got, want := h.ConnManager().IsProtected(id(n), serviceName), n < maxKept; got != want {
			t.Errorf("peer %d: protected %v, want %v", n, got, want)
		}
	}
	own := id(2*maxKept - 1)
	end := k.protect(h, own, true)
	if !h.ConnManager().IsProtected(own, serviceName) {
		t.Error("a peer of our own attempt is not protected")
	}
	ends[own]() // which had no place
	if !h.ConnManager().IsProtected(own, serviceName) {
		t.Error("a peer's attempt ended the protection of ours")
	}
	end()
	delete(ends, own)
	for _, end := range ends {
		end()
	}
	if len(k.attempts) > 0 || h.ConnManager().IsProtected(own, serviceName) || h.ConnManager().IsProtected(id(0), serviceName) {
		t.Errorf("protected for ever: %v", k.attempts)
	}
}

// TestBusyAsksNothing: a peer that has as many attempts under way as it may is told so, and the user's filter is asked
// nothing.
func TestBusyAsksNothing(t *testing.T) {
	var asked atomic.Int64
	relay := newRelay(t)
	victim := newPeer(t, Enable(
		WithSTUNServers(newSTUNServer(t)),
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
