package stun

import (
	"errors"
	"net/netip"
	"syscall"
	"time"
)

// temporary reports whether Accept may succeed later, as it does after EMFILE,
// ENFILE and ECONNABORTED.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// noFiles reports whether the process, or the system, has as many files open as it may.
func noFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// backoff is the pause after the latest failed Accept.
type backoff time.Duration

// wait pauses twice as long as before, 5 ms to 1 s (the values of net/http:
// short enough not to be noticed, long enough not to spin), or until done.
func (b *backoff) wait(done <-chan struct{}) {
	*b = min(max(2**b, backoff(5*time.Millisecond)), backoff(time.Second))
	t := time.NewTimer(time.Duration(*b))
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// roomMade is how many connections are ended at once where there is no file descriptor:
// by the time of the first pause more than 6,000 a second can come in.
const roomMade = 32

// makeRoom ends some connections as add does, for newcomers who are not known yet.
func (s *Server) makeRoom() (made bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range roomMade {
		evicted := s.open.evict(netip.Prefix{}, time.Now())
		if evicted == nil {
			break
		}
		reset(evicted.nc)
		made = true
	}
	return made
}
