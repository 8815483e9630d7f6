package transport

import (
	"strings"
	"testing"
	"time"
)

// usual bounds the time of a punch on a busy machine: 100 ms, and a second for each of two SYNs
// that are repeated. A punch that depends on one of its own timers takes 4 s and more.
const usual = 3500 * time.Millisecond

// wantUsualTime wants direct connections within the usual time. Tests with it run apart from the
// package's parallel tests, whose work would be in their times.
func wantUsualTime(t *testing.T, got ...outcome) {
	t.Helper()
	for _, o := range got {
		if o.Direct && o.Took > usual {
			t.Errorf("%v, want it within %v", o, usual)
		}
	}
}

// TestAddressPool: the NAT of one peer has several external addresses, so that the peer's
// connections may come from an address that no observer has reported. A filter by address (ADF)
// needs the right one beforehand: it is known if the mapping is endpoint-independent.
func TestAddressPool(t *testing.T) {
	l := newHostLab(t, relayConfig{})
	for _, tt := range []struct{ pool, other string }{
		{"eim-apdf-pool4", "public"},
		{"eim-apdf-rst-pool4", "eim-eif"},
		{"eim-apdf-pool4", "eim-adf-rst"},
		{"apdm-apdf-random-pool4", "public"},
		{"apdm-apdf-rst-random-pool4", "eim-eif-rst"},
		{"apdm-apdf-pool4", "eim-eif"},
	} {
		name := tt.pool + " and " + tt.other
		pool := l.site(t, name, tt.pool)
		a, b := l.newPair(t, addHost(t, pool, "pool"), addHost(t, l.site(t, name, tt.other), "other"), peerConfig{})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := wantDirect(t, a, b)
			wantUsualTime(t, got...)
			for _, o := range []outcome{got[1], got[2]} { // of the other
				in, _, _ := strings.Cut(o.Remote, "/tcp")
				t.Logf("the pool is seen at %s", in)
			}
		})
	}
}
