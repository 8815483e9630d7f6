package tcpport

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting bounds the accepted connections that wait for an open
	// Expectation to say whom it expects. One peer brings at most 8, one for
	// each candidate of ours.
	maxWaiting = 64

	// handoverBuffer is how many accepted connections an Expectation holds
	// for a receiver that is busy. More than that are reset.
	handoverBuffer = 16

	// maxAmbiguous is how long a connection that fits an Expectation by its
	// address only waits for open ones to say whether it is theirs: a relayed
	// round trip on most paths, and no more than a peer notices.
	maxAmbiguous = 500 * time.Millisecond

	// acceptPause follows an accept(2) that failed for want of file
	// descriptors or memory: long enough not to spin, short against a punch.
	acceptPause = 20 * time.Millisecond
)

// An Expectation receives accepted connections of one peer.
//
// It starts open: as long as it has not been told whom to expect, connections
// that nobody else expects wait instead of being reset. An initiator needs
// that, for where the direct path is shorter than the relayed one the
// responder's SYN arrives before its answer.
type Expectation struct {
	reception *reception
	conns     chan *net.TCPConn
	from      []netip.AddrPort // nil while open; guarded by reception.mu
}

// Expect begins to wait for a peer. Close must be called.
func (p *Port) Expect() *Expectation { return p.reception.add() }

// From says whom to expect: connections from the address of any of these
// candidates, whatever their port, for a peer behind an unpredictable mapping
// comes from a port that nobody could name beforehand. The Expectation that
// names the very port of a connection gets it before others that name its
// address. While another Expectation is open those wait, for half a second at
// most: many peers can share an address behind a carrier's NAT.
func (e *Expectation) From(candidates []netip.AddrPort) { e.reception.narrow(e, candidates) }

// Conns delivers the connections. The receiver owns them. It is closed when
// the Expectation or its Port is.
func (e *Expectation) Conns() <-chan *net.TCPConn { return e.conns }

// Close ends the expectation, and resets the connections not received yet.
func (e *Expectation) Close() { e.reception.remove(e) }

// How well a connection fits an Expectation.
const (
	byAddress = 1 + iota
	exactly
)

func (e *Expectation) match(remote netip.AddrPort) int {
	best := 0
	for _, c := range e.from {
		switch {
		case c == remote:
			return exactly
		case c.Addr() == remote.Addr():
			best = byAddress
		}
	}
	return best
}

// A reception takes what a Port's listeners accept and hands it to the
// Expectations.
type reception struct {
	mu      sync.Mutex
	closed  bool
	expect  []*Expectation
	waiting []arrival
}

// An arrival is an accepted connection that nobody has yet.
type arrival struct {
	*net.TCPConn
	since time.Time
}

func (p *Port) accept(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		p.reception.receive(c)
	}
}

func (r *reception) receive(c *net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, arrival{c, time.Now()})
	r.review()
	if len(r.waiting) > maxWaiting {
		Reset(c)
		r.waiting = r.waiting[:maxWaiting]
	}
	if len(r.waiting) > 0 {
		time.AfterFunc(maxAmbiguous, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.review()
		})
	}
}

// deliver hands c to the Expectation that fits best, if it fits at least so
// well, and reports whether one did.
func (r *reception) deliver(c *net.TCPConn, least int) bool {
	remote := remoteOf(c)
	var best *Expectation
	score := least - 1
	for _, e := range r.expect {
		if m := e.match(remote); m > score {
			best, score = e, m
		}
	}
	if best == nil {
		return false
	}
	select {
	case best.conns <- c:
	default:
		Reset(c)
	}
	return true
}

func (r *reception) add() *Expectation {
	e := &Expectation{reception: r, conns: make(chan *net.TCPConn, handoverBuffer)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		close(e.conns)
		return e
	}
	r.expect = append(r.expect, e)
	return e
}

func (r *reception) narrow(e *Expectation, candidates []netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.from = append([]netip.AddrPort{}, candidates...)
	r.review()
}

func (r *reception) remove(e *Expectation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.expect, e)
	if i < 0 {
		return
	}
	r.expect = slices.Delete(r.expect, i, i+1)
	e.end()
	r.review()
}

// review finds the waiting connections their Expectations, after a change of
// who waits or who is expected.
func (r *reception) review() {
	open := slices.ContainsFunc(r.expect, func(e *Expectation) bool { return e.from == nil })
	r.waiting = slices.DeleteFunc(r.waiting, func(a arrival) bool {
		ambiguous := open && time.Since(a.since) < maxAmbiguous
		switch {
		case r.deliver(a.TCPConn, exactly):
		case !ambiguous && r.deliver(a.TCPConn, byAddress):
		case open:
			return false
		default:
			Reset(a.TCPConn)
		}
		return true
	})
}

func (r *reception) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, e := range r.expect {
		e.end()
	}
	r.expect = nil
	r.review()
}

func (e *Expectation) end() {
	close(e.conns)
	for c := range e.conns {
		Reset(c)
	}
}

func remoteOf(c net.Conn) netip.AddrPort {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
