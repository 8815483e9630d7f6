package transport

import (
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// usual bounds the time of a punch on a busy machine: 100 ms, and a second for each of two SYNs
// that are repeated. A punch that depends on one of its own timers takes 4 s and more.
const usual = 3500 * time.Millisecond

// wantUsualTime wants direct connections within the usual time. Tests with it are part of
// TestApart.
func wantUsualTime(t *testing.T, got ...outcome) {
	t.Helper()
	for _, o := range got {
		if o.Direct && o.Took > usual {
			t.Errorf("%v, want it within %v", o, usual)
		}
	}
}

// testAddressPool: the NAT of one peer has several external addresses, so that the peer's
// connections may come from an address that no observer has reported. A filter by address (ADF)
// needs the right one beforehand: it is known if the mapping is endpoint-independent.
func testAddressPool(t *testing.T) {
	l := newHostLab(t, relayConfig{})
	for _, tt := range []struct{ pool, other string }{
		{"eim-apdf-pool4", "public"},
		{"eim-apdf-rst-pool4", "eim-eif"},
		{"eim-apdf-pool4", "eim-adf-rst"},
		{"apdm-apdf-random-pool4", "public"},
		{"apdm-apdf-rst-random-pool4", "eim-eif-rst"},
		{"apdm-apdf-pool4", "eim-eif"},
		{"kernel-rst-snat4", "public"},
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

// TestPoolIsNamed: where each connection of a peer may come from another address, the peer names
// all that it knows of. A filter by address lets in what comes from these, and also one by port,
// where ports are preserved. Each round is another chance.
func TestPoolIsNamed(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	for _, tt := range []struct{ pool, other string }{
		{"apdm-apdf-random-pool4", "eim-adf"},
		{"apdm-apdf-rst-pool4", "eim-adf-rst"},
		{"apdm-apdf-pool4", "eim-apdf"},
		{"apdm-apdf-overload-pool4", "eim-apdf-rst"},
		{"kernel-snat4", "eim-adf-rst"},
		{"kernel-rst-snat4", "kernel-drop"},
	} {
		t.Run(tt.pool+" and "+tt.other, func(t *testing.T) {
			t.Parallel()
			a, b := l.newLearnedPair(t, tt.pool, tt.other)
			wantDirect(t, a, b)
		})
	}
	t.Run("no way", func(t *testing.T) {
		t.Parallel()
		a, b := l.newLearnedPair(t, "apdm-apdf-random-pool4", "eim-apdf")
		wantReason(t, a, b, holepunch.ErrPortFiltered)
		wantReason(t, b, a, holepunch.ErrPortFiltered)
	})
}

// newLearnedPair starts two peers behind NATs, which know these.
func (l *hostLab) newLearnedPair(t *testing.T, a, b string) (_, _ *labPeer) {
	t.Helper()
	name := a + " and " + b
	pa, pb := l.newPair(t, addHost(t, l.site(t, name, a), a), addHost(t, l.site(t, name, b), b), peerConfig{})
	for _, p := range []*labPeer{pa, pb} {
		p.join(t)
	}
	for _, p := range []*labPeer{pa, pb} {
		t.Logf("%s is %v", p.host.Name(), p.learn(t))
	}
	return pa, pb
}
