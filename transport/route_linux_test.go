package transport

import (
	"testing"
	"time"
)

// TestMachineMoves: a machine that gets another address has its ports' new addresses soon, and
// punches from them. Its connections do not tell: they hang.
func TestMachineMoves(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a, b := l.newPair(t, addHost(t, l.site(t, "office", "eim-apdf"), "alice"), addHost(t, l.site(t, "home", "eim-apdf"), "bob"), peerConfig{})
	b.join(t)
	var before, after string
	b.do(t, &before, command{Do: "moved"})
	if err := b.host.Move(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	b.do(t, &after, command{Do: "moved"})
	if after == before {
		t.Fatalf("bob still is at %s", before)
	}
	// That the connection to the observer hangs is noticed after 25 s, in any case.
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v, want some 5 s", took)
	}
	b.leave(t)
	wantDirect(t, a, b)
}
