//go:build walljump

package soak

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "unsafe" // for go:linkname
)

// wallJump is what the wall clock of the process is ahead, in seconds; see the command in overlay.
//
//go:linkname wallJump time.wallJump
var wallJump int64

func init() {
	jumpWall = func(seconds int64) { wallJump = seconds }
	kinds = append(kinds, kind{"a wall clock jumps", false, toldAftermath, peers, jumped, 5 * time.Second})
}

// jumped: as a clock that is set right does, or was set wrong. Half an hour back is less than what
// go-libp2p's TLS certificates are backdated by.
func jumped(t *testing.T, _ *stage, on *station, rng *rand.Rand) func() {
	by := -30 * time.Minute
	if rng.IntN(2) == 0 {
		by = 365 * 24 * time.Hour
	}
	on.do(t, command{Do: "wall clock", Jump: by})
	return func() { on.do(t, command{Do: "wall clock"}) }
}
