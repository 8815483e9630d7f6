package transport

import (
	"testing"
	"time"
)

// TestClash: a NAT keeps a session with who was refused, and its own host's SYN to that endpoint
// leaves by another port then. The responder's first SYNs come before the initiator's have left, and
// spoil both pairs of ports. The crossed ones are connected by both sides at one moment.
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
				a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
				a.reserve(t)
				b.reserve(t)
				l.SetExtraDelay(home, office, (direct-labDirect)/2)
				l.SetExtraDelay(office, home, (direct-labDirect)/2)
				l.SetExtraDelay(home, l.relaySite, (relayed-labRelayed)/2)
				l.SetExtraDelay(l.relaySite, home, (relayed-labRelayed)/2)
				wantDirect(t, a, b)
			})
		}
	}
}
