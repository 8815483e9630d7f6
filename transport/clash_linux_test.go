package transport

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const clash = "apdm-apdf-rst-overload-clash"

// TestClash: a NAT keeps a session with an endpoint that it has refused, and its own host's SYN to
// that endpoint then leaves by another port. The responder's first SYN comes before the initiator's
// has left, and spoils the first pair of ports. The second pair begins at the same moment at both
// sides, and so do the crossed pairs. A process that stands still may miss either; then there is
// another moment on fresh ports.
func TestClash(t *testing.T) {
	t.Parallel()
	clashPairs(t, []string{"eim-apdf", "eim-apdf-rst", "kernel-accept", clash}, func(t *testing.T, a, b *labPeer) {
		wantDirect(t, a, b)
	})
}

// TestClashPredicted: where the responder's NAT gives each destination another port, a round has
// one pair of ports, and the responder's only SYN is not to come too early.
func TestClashPredicted(t *testing.T) {
	t.Parallel()
	clashPairs(t, []string{"apdm-apdf", "apdm-apdf-rst", "apdm-apdf-sequential", "adm-apdf"}, func(t *testing.T, a, b *labPeer) {
		a.join(t)
		b.reserve(t)
		a.learn(t)
		b.learn(t)
		wantDirect(t, a, b)
	})
}

// clashPairs tests a peer whose NAT clashes with each of the others, over relays that make the way
// longer than half a direct round trip.
func clashPairs(t *testing.T, others []string, test func(t *testing.T, a, b *labPeer)) {
	for _, other := range others {
		for name, relayed := range map[string]time.Duration{"near": 140 * time.Millisecond, "far": 200 * time.Millisecond} {
			t.Run(other+"/relay "+name, func(t *testing.T) {
				t.Parallel()
				l := newHostLab(t, relayConfig{})
				home, office := l.site(t, "home", clash), l.site(t, "office", other)
				l.setDirect(home, office, 100*time.Millisecond)
				l.setRelayed(home, relayed/2, relayed/2)
				a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
				test(t, a, b)
			})
		}
	}
}

// TestMissedMoment: CROSS takes longer on its way than the initiator assumes, so that its SYNs
// spoil the crossed pairs as well. The round after that is on fresh ports, and CROSS in time.
func TestMissedMoment(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", clash), l.site(t, "office", clash)
	l.setDirect(home, office, 100*time.Millisecond)
	pairs := make(map[[2]netip.AddrPort]bool) // that bob's NAT has refused
	missed := make(chan struct{})
	miss := sync.OnceFunc(func() { close(missed) })
	office.Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err == nil && e.Fate == natlab.Answered && p.TCP() && p.Src().Addr() == home.External() {
			if pairs[[2]netip.AddrPort{p.Src(), p.Dst()}] = true; len(pairs) == 4 {
				miss()
			}
		}
	})
	var waiting sync.WaitGroup
	t.Cleanup(waiting.Wait)
	t.Cleanup(miss)
	waiting.Go(func() {
		<-missed
		// Shorter, so that there is time for several rounds, with moments that a busy machine does
		// not miss again: SYNs that leave within 200 ms of each other cross.
		l.setRelayed(home, 100*time.Millisecond, 100*time.Millisecond)
		l.setDirect(home, office, 400*time.Millisecond)
	})

	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
	b.reserve(t)
	a.join(t)
	// SYNs that leave within 50 ms of each other cross. Neither those of the first pairs do so, nor
	// those of the crossed ones: 300 ms are more than a process stands still.
	l.setRelayed(home, 900*time.Millisecond, 300*time.Millisecond)
	d, r := punch(t, a, b)
	steps := a.steps(t)
	failed := func(s step) bool { return s.Kind == RoundFailed }
	if !d.Direct || !r.Direct || !slices.ContainsFunc(steps, failed) {
		t.Errorf("alice has %v, and bob has %v; want direct connections after a round that has failed", d, r)
		for _, s := range steps {
			t.Log(s)
		}
		logSteps(t, b)
	}
}

// setDirect sets the round trip between two sites with the usual delay.
func (l *hostLab) setDirect(a, b *natlab.Site, rtt time.Duration) {
	extra := rtt/2 - 2*siteDelay
	l.SetExtraDelay(a, b, extra)
	l.SetExtraDelay(b, a, extra)
}

// setRelayed sets the times from such a site over the relay to any other, and back.
func (l *hostLab) setRelayed(s *natlab.Site, there, back time.Duration) {
	const usual = 2 * (siteDelay + relayDelay)
	l.SetExtraDelay(s, l.relaySite, there-usual)
	l.SetExtraDelay(l.relaySite, s, back-usual)
}
