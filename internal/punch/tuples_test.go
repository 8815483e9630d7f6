package punch

import (
	"net/netip"
	"testing"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	var ts tuples
	k := tuple{4001, netip.MustParseAddrPort("192.0.2.1:4002")}
	elsewhere := ts.claim(tuple{4002, k.remote})
	one := ts.claim(k)
	if one.shared() {
		t.Error("shared with nobody")
	}
	other := ts.claim(k)
	if !one.shared() || !other.shared() {
		t.Error("two claims do not share the tuple")
	}
	// An attempt whose connection was of no use does not make others wait, but waits for them.
	other.doubt()
	other.doubt()
	if one.shared() || !other.shared() {
		t.Errorf("shared after doubt: %v, %v, want false, true", one.shared(), other.shared())
	}
	third := ts.claim(k)
	if !one.shared() {
		t.Error("not shared with the third")
	}
	third.release()
	one.release()
	if other.shared() {
		t.Error("shared with claims that were released")
	}
	other.release()
	elsewhere.release()
	if len(ts.wanted) > 0 {
		t.Errorf("left is %v", ts.wanted)
	}
}

func TestFreed(t *testing.T) {
	t.Parallel()
	var ts tuples
	k := tuple{4001, netip.MustParseAddrPort("192.0.2.1:4002")}
	ts.free(k) // that no attempt wants
	one, other := ts.claim(k), ts.claim(k)
	before := one.freed()
	ts.free(tuple{4002, k.remote})
	if isClosed(before) {
		t.Error("freed by another tuple")
	}
	ts.free(k)
	if !isClosed(before) || isClosed(one.freed()) {
		t.Error("not freed once")
	}
	before = one.freed()
	other.release()
	if !isClosed(before) {
		t.Error("not freed by the end of the other claim")
	}
	one.release()
}
