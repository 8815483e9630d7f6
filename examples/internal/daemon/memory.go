package daemon

import (
	"math"
	"runtime/debug"

	"github.com/pbnjay/memory"
)

// Memory returns the memory, in bytes, that a server may plan with: the machine's, or GOMEMLIMIT
// where that is less.
func Memory() uint64 {
	limit := uint64(debug.SetMemoryLimit(-1))
	if total := memory.TotalMemory(); total > 0 { // 0 where the system does not say
		return min(total, limit)
	}
	if limit == math.MaxInt64 {
		return 1 << 30
	}
	return limit
}

// Capacity returns how many of something a server can have in so many bytes of memory each, at most
// max.
func Capacity(each uint64, max int) int { return int(min(Memory()/each, uint64(max))) }
