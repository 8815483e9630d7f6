package transport

import (
	"fmt"
	"testing"
	"time"
)

// TestClash: a NAT keeps a session with an endpoint that it has refused, and its own host's SYN to
// that endpoint then leaves by another port. The responder's first SYNs come before the initiator's
// have left, and spoil both pairs of ports. Both sides connect the crossed pairs at the same
// moment.
func TestClash(t *testing.T) {
	t.Parallel()
	const clash = "apdm-apdf-rst-overload-clash"
	for _, other := range []string{"eim-apdf", "eim-apdf-rst", "kernel-accept", clash} {
		for name, relayed := range map[string]time.Duration{"near": 440 * time.Millisecond, "far": 800 * time.Millisecond} {
			t.Run(other+"/relay "+name, func(t *testing.T) {
				t.Parallel()
				const ( // round trips
					// Two SYNs that leave within half of this cross. The longer it is, the longer a
					// process may stand still on a busy machine.
					direct     = 400 * time.Millisecond
					labDirect  = 4 * siteDelay
					labRelayed = 4 * (siteDelay + relayDelay)
				)
				l := newHostLab(t, relayConfig{})
				home, office := l.site(t, "home", clash), l.site(t, "office", other)
				l.SetExtraDelay(home, office, (direct-labDirect)/2)
				l.SetExtraDelay(office, home, (direct-labDirect)/2)
				l.SetExtraDelay(home, l.relaySite, (relayed-labRelayed)/2)
				l.SetExtraDelay(l.relaySite, home, (relayed-labRelayed)/2)
				// Between two of them a process that stands still may miss the moment. Both sides
				// try again by themselves after 30 s; other hosts need not wait for the NATs to
				// forget.
				tries := 1
				if other == clash {
					tries = 3
				}
				for try := 1; ; try++ {
					a, b := l.newPair(t, addHost(t, home, fmt.Sprint("alice", try)), addHost(t, office, fmt.Sprint("bob", try)), peerConfig{})
					a.reserve(t)
					b.reserve(t)
					if directByTurns(t, a, b) {
						return
					}
					if try == tries {
						t.Fatal("want direct connections")
					}
				}
			})
		}
	}
}

// directByTurns has two peers dial each other by turns, and reports whether that was direct each
// time.
func directByTurns(t *testing.T, a, b *labPeer) bool {
	t.Helper()
	for _, pair := range [][2]*labPeer{{a, b}, {b, a}} {
		d, r := punch(t, pair[0], pair[1])
		t.Logf("%s, which dials, has %v; the other has %v", pair[0].host.Name(), d, r)
		if !d.Direct || !r.Direct {
			logSteps(t, a, b)
			return false
		}
		a.leave(t)
		b.leave(t)
	}
	return true
}
