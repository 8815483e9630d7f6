package transport

import (
	"fmt"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// testRoundTrips: a direct connection takes one round trip over the relay and one and a half of its
// own: for the signalling, for TCP, and for the tokens. The responder's relayed connection is up
// half a round trip after the initiator's. Where both NATs drop early SYNs, the responder's SYN
// arrives just after the initiator's has left, and the initiator has its connection a sixth of a
// relayed round trip earlier. What cannot work is known after the one round trip over the relay,
// also where a side has to ask which port comes next.
func testRoundTrips(t *testing.T) {
	for _, tc := range []struct {
		nats   [2]string
		sooner time.Duration // the initiator
	}{
		{[2]string{"eim-apdf", "eim-apdf"}, relayedRTT / 6},
		{[2]string{clash, "eim-apdf-rst"}, 0}, // the first pair of ports is spoiled
	} {
		t.Run("to a connection/"+tc.nats[0]+" "+tc.nats[1], func(t *testing.T) {
			t.Parallel()
			inTime(t, func() (wrong string) {
				initiator, responder := farApartPunch(t, tc.nats[0], tc.nats[1], 2)
				for _, side := range []struct {
					name string
					got  outcome
					want time.Duration
				}{
					{"initiator", initiator, relayedRTT + 3*directRTT/2 - tc.sooner},
					{"responder", responder, relayedRTT/2 + 3*directRTT/2},
				} {
					if !side.got.Direct || side.got.Took < side.want {
						t.Errorf("the %s has %v, want a connection after %v", side.name, side.got, side.want)
					}
					if side.got.Took >= side.want+directRTT { // one more
						wrong += fmt.Sprintf("the %s has %v, want it after %v\n", side.name, side.got, side.want)
					}
				}
				// It would have it half a round trip later if the SYNs had not crossed.
				if later := initiator.Took - relayedRTT/2 - responder.Took; later > directRTT*2/5 {
					wrong += fmt.Sprintf("the initiator has its connection %v after the responder", later)
				}
				return wrong
			})
		})
	}
	for _, nats := range [][2]string{
		{"apdm-apdf-random", "eim-apdf"},
		{"apdm-apdf-random", "apdm-apdf-sequential"},
		{"apdm-apdf-sequential", "apdm-apdf-random"},
	} {
		t.Run("to a reason/"+nats[0]+" "+nats[1], func(t *testing.T) {
			t.Parallel()
			inTime(t, func() string {
				got, _ := farApartPunch(t, nats[0], nats[1], 2)
				if got.Direct || got.Reason != holepunch.ErrPortFiltered {
					t.Errorf("got %v, want %q", got, holepunch.ErrPortFiltered)
				}
				if got.Took < 2*relayedRTT {
					return ""
				}
				return fmt.Sprintf("got %v, want it after %v", got, relayedRTT)
			})
		})
	}
}

// inTime wants one of five attempts to be in time, which returns "" then. A machine that has much
// else to do only adds to the time of an attempt; a round trip too many is in each of them.
func inTime(t *testing.T, attempt func() (wrong string)) {
	t.Helper()
	for n := 1; ; n++ {
		wrong := attempt()
		if wrong == "" || t.Failed() {
			return
		}
		if n == 5 {
			t.Error(wrong)
			return
		}
		t.Logf("attempt %d: %s", n, wrong)
	}
}

// TestLosersAreNoHarm: where a NAT forgets a port when a RST passes, the end of the connections
// that are not taken is none of the one that is.
func TestLosersAreNoHarm(t *testing.T) {
	t.Parallel()
	for _, nats := range [][2]string{
		{"eim-apdf-rst-rstkills", "eim-adf"},
		{"eim-apdf-rst-rstkills", "eim-apdf-rst-rstkills"},
		{"eim-apdf-rstkills", "eim-apdf-rstkills"},
	} {
		for _, ports := range []int{1, 2} { // with one, both pairs are from that port
			t.Run(fmt.Sprintf("%s %s, %d ports", nats[0], nats[1], ports), func(t *testing.T) {
				t.Parallel()
				if got, _ := farApartPunch(t, nats[0], nats[1], ports); !got.Direct {
					t.Error(got)
				}
			})
		}
	}
}

const (
	// Much longer than what a slow machine adds, and under the second after which
	// TCP takes a SYN for lost.
	directRTT  = 400 * time.Millisecond
	relayedRTT = 400 * time.Millisecond
)

// farApartPunch makes two peers that know their NATs punch, with those round trips, the dialler
// from so many ports. A direct connection has to be usable.
func farApartPunch(t *testing.T, diallers, listeners string, ports int) (initiator, responder outcome) {
	t.Helper()
	const ( // those of the lab's sites as they are
		direct  = 4 * siteDelay
		relayed = 4 * (siteDelay + relayDelay)
	)
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", diallers), l.site(t, "office", listeners)
	a := l.startPeer(t, addHost(t, home, "alice"), peerConfig{Ports: ports})
	b := l.startPeer(t, addHost(t, office, "bob"), peerConfig{})
	ready(t, a, b)
	b.reserve(t)
	a.join(t)
	a.learn(t)
	b.learn(t)
	l.SetExtraDelay(home, office, (directRTT-direct)/2)
	l.SetExtraDelay(office, home, (directRTT-direct)/2)
	l.SetExtraDelay(home, l.relaySite, (relayedRTT-relayed)/2)
	l.SetExtraDelay(l.relaySite, home, (relayedRTT-relayed)/2)
	a.leave(t)
	a.join(t) // and learns how far the relay is now
	initiator, responder = punch(t, a, b)
	logSteps(t, a, b)
	if initiator.Direct {
		a.ping(t, b.id, "direct")
	}
	return initiator, responder
}
