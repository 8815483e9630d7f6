package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestNATSoughtAgain: a server that was restarted is asked again soon, one that is gone now and then,
// and one that has told all there is not for long.
func TestNATSoughtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n nat
		search := func(r *stun.Report, want time.Duration) {
			t.Helper()
			if !n.begin() {
				t.Fatal("the search does not begin")
			}
			n.end(r)
			begin := time.Now()
			for !n.begin() {
				time.Sleep(time.Second)
			}
			n.mu.Lock()
			close(n.seeking)
			n.seeking = nil
			n.mu.Unlock()
			if waited := time.Since(begin); waited != want {
				t.Errorf("sought again after %v, want %v", waited, want)
			}
		}
		for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			search(nil, want*time.Second)
		}
		search(&stun.Report{}, natRetry)
		search(nil, natFailed)
		search(&stun.Report{Complete: true}, natStale)
	})
}
