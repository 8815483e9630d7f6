package stun

import (
	"testing"
	"time"
)

func TestEgressOf(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		rtt, refusal time.Duration
		want         Fact
	}{
		{20 * ms, 20 * ms, Yes},
		{20 * ms, 25 * ms, Yes}, // noticed late
		{20 * ms, 5 * ms, Yes},
		{20 * ms, 4 * ms, No},
		{300 * ms, 100 * time.Microsecond, No},
		{50 * time.Microsecond, 50 * time.Microsecond, Unknown},
		{3 * ms, 100 * time.Microsecond, Unknown}, // on one bridge, and a busy host
	} {
		if got := egressOf(tt.rtt, tt.refusal); got != tt.want {
			t.Errorf("a round trip of %v, refused after %v: got %v, want %v", tt.rtt, tt.refusal, got, tt.want)
		}
	}
}
