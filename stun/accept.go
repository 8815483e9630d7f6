package stun

import (
	"errors"
	"net/netip"
	"syscall"
	"time"
)

// temporary reports whether Accept may succeed later, as it does after EMFILE, ENFILE and
// ECONNABORTED.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// backoff is the pause after the latest failed Accept.
type backoff time.Duration

// wait pauses twice as long as before, 5 ms to 1 s, or until done. The values are those of
// net/http: short enough not to be noticed, long enough not to spin.
func (b *backoff) wait(done <-chan struct{}) {
	*b = min(max(2**b, backoff(5*time.Millisecond)), backoff(time.Second))
	t := time.NewTimer(time.Duration(*b))
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// evictedWithoutFiles is how many connections are evicted at once when file descriptors run out. By
// the end of the first pause that makes room for more than 6,000 a second.
const evictedWithoutFiles = 32

// makeRoom evicts connections if err says that the process or the system has no file descriptor
// left, and reports whether there is room now. The newcomers' networks are not known yet.
func (s *Server) makeRoom(err error) (made bool) {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range evictedWithoutFiles {
		evicted := s.open.evict(netip.Prefix{}, time.Now())
		if evicted == nil {
			break
		}
		reset(evicted.nc)
		made = true
	}
	return made
}
