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
	// Expectation to say whom it expects, and waitingPeer those for each of many: a
	// peer brings one for each of its ports, or two. Beyond that the one that has waited
	// longest is reset, for the stranger's waits, and the peer's does not: of those from the address that
	// most are from.
	maxWaiting  = 64
	waitingPeer = 4

	// maxEarly is how long a connection waits at most: as long as an initiator does
	// for the ANSWER. On a host that always has an attempt under way a stranger's would
	// wait for ever.
	maxEarly = 5 * time.Second

	// maxBelated is how long after the end of an Expectation connections may still come
	// for it, which were under way or in the listener's queue. They are nobody else's: a
	// peer that shares the address would wait for a word from them.
	maxBelated = time.Second

	// handoverBuffer is how many accepted connections an Expectation holds
	// for a receiver that is busy: all that have waited, and some that strangers do not get,
	// for what comes from a candidate. More than that are reset.
	handoverBuffer = maxWaiting + handoverSpare
	handoverSpare  = 16

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
	Peer string // whom it is for, if that is known; to be set before From

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
//
// It returns those that an Expectation of another Peer has named before, and so has the connections from; port 0
// stands for the ports of an address that nobody has named.
func (e *Expectation) From(candidates []netip.AddrPort) (taken []netip.AddrPort) {
	return e.reception.narrow(e, candidates)
}

// Conns delivers the connections. The receiver owns them. It is closed when
// the Expectation or its Port is.
func (e *Expectation) Conns() <-chan *net.TCPConn { return e.conns }

// Close ends the expectation, and resets the connections not received yet.
func (e *Expectation) Close() { e.reception.remove(e) }

// wanted are the keys that find an Expectation: the candidates, and their addresses.
func (e *Expectation) wanted() []netip.AddrPort {
	var keys []netip.AddrPort
	for _, c := range e.from {
		for _, key := range []netip.AddrPort{c, anyPort(c)} {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// anyPort stands for every port of an address.
func anyPort(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }

// A reception takes what a Port's listeners accept and hands it to the
// Expectations. A host can have a thousand of them, so that they are found by
// their keys.
type reception struct {
	mu      sync.Mutex
	closed  bool
	all     map[*Expectation]struct{}
	open    int // how many have not said whom they expect
	wanting map[netip.AddrPort][]*Expectation
	ended   map[netip.AddrPort]*Expectation // candidates of the latest to end, for maxBelated
	waiting []*arrival                      // in the order of their coming
}

// An arrival is an accepted connection that nobody has yet.
type arrival struct {
	*net.TCPConn
	remote netip.AddrPort
	since  time.Time
	again  *time.Timer // looks at it after a while
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
	a := &arrival{TCPConn: c, remote: remoteOf(c), since: time.Now()}
	if r.settle(a) {
		return
	}
	a.again = time.AfterFunc(maxAmbiguous, func() { r.reconsider(a) })
	r.waiting = append(r.waiting, a)
	if len(r.waiting) > max(maxWaiting, waitingPeer*r.open) {
		i := r.crowd()
		Reset(r.waiting[i].TCPConn)
		r.waiting[i].again.Stop()
		r.waiting = slices.Delete(r.waiting, i, i+1)
	}
}

// crowd finds the connection that has waited longest from the address that most are from.
func (r *reception) crowd() int {
	from := make(map[netip.Addr]int)
	for _, a := range r.waiting {
		from[a.remote.Addr()]++
	}
	oldest := 0
	for i, a := range r.waiting {
		if from[a.remote.Addr()] > from[r.waiting[oldest].remote.Addr()] {
			oldest = i
		}
	}
	return oldest
}

// settle finds an arrival its Expectation, or resets it. It reports whether that is
// so, or whether it has to wait.
func (r *reception) settle(a *arrival) bool {
	waited := time.Since(a.since)
	switch {
	case r.hand(a, a.remote):
	case r.open > 0 && waited < maxAmbiguous:
		return false
	case r.ended[a.remote] != nil:
		Reset(a.TCPConn)
	case r.hand(a, anyPort(a.remote)):
	case r.open > 0 && waited < maxEarly:
		return false
	default:
		Reset(a.TCPConn)
	}
	if a.again != nil {
		a.again.Stop()
	}
	return true
}

// hand gives an arrival to who wants it by that key, if anybody does.
func (r *reception) hand(a *arrival, key netip.AddrPort) bool {
	es := r.wanting[key]
	if len(es) == 0 {
		return false
	}
	room := handoverBuffer
	if key.Port() == 0 {
		room -= handoverSpare
	}
	if len(es[0].conns) < room { // nobody else adds to them meanwhile
		es[0].conns <- a.TCPConn
	} else {
		Reset(a.TCPConn)
	}
	return true
}

// review settles what can be settled of the waiting connections, after a change of who is
// expected.
func (r *reception) review() {
	r.waiting = slices.DeleteFunc(r.waiting, r.settle)
}

// reconsider looks at an arrival whose time of waiting may be over.
func (r *reception) reconsider(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, a)
	switch {
	case i < 0: // settled meanwhile
	case r.settle(a):
		r.waiting = slices.Delete(r.waiting, i, i+1)
	default:
		a.again.Reset(maxEarly - time.Since(a.since))
	}
}

func (r *reception) add() *Expectation {
	e := &Expectation{reception: r, conns: make(chan *net.TCPConn, handoverBuffer)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		close(e.conns)
		return e
	}
	if r.all == nil {
		r.all = make(map[*Expectation]struct{})
		r.wanting = make(map[netip.AddrPort][]*Expectation)
		r.ended = make(map[netip.AddrPort]*Expectation)
	}
	r.all[e] = struct{}{}
	r.open++
	return e
}

func (r *reception) narrow(e *Expectation, candidates []netip.AddrPort) (taken []netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.all[e]; !ok {
		return nil
	}
	before := e.wanted()
	if e.from == nil {
		r.open--
	}
	e.from = append([]netip.AddrPort{}, candidates...)
	now := e.wanted()
	for _, key := range before {
		if !slices.Contains(now, key) {
			r.unwant(e, key)
		}
	}
	for _, key := range now {
		if !slices.Contains(r.wanting[key], e) { // or else it keeps its place
			r.wanting[key] = append(r.wanting[key], e)
		}
		if first := r.wanting[key][0]; first != e && (e.Peer == "" || first.Peer != e.Peer) {
			taken = append(taken, key)
		}
	}
	r.review()
	return taken
}

func (r *reception) remove(e *Expectation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.all[e]; !ok {
		return
	}
	r.forget(e)
	delete(r.all, e)
	e.end()
	for _, c := range e.from {
		r.ended[c] = e
	}
	time.AfterFunc(maxBelated, func() { r.forgetEnded(e) })
	r.review()
}

func (r *reception) forgetEnded(e *Expectation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range e.from {
		if r.ended[c] == e {
			delete(r.ended, c)
		}
	}
}

// forget undoes what an Expectation said of whom it expects, or that it is open.
func (r *reception) forget(e *Expectation) {
	if e.from == nil {
		r.open--
		return
	}
	for _, key := range e.wanted() {
		r.unwant(e, key)
	}
}

func (r *reception) unwant(e *Expectation, key netip.AddrPort) {
	es := r.wanting[key]
	i := slices.Index(es, e)
	if es = slices.Delete(es, i, i+1); len(es) == 0 {
		delete(r.wanting, key)
	} else {
		r.wanting[key] = es
	}
}

func (r *reception) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for e := range r.all {
		e.end()
	}
	r.all, r.wanting, r.open = nil, nil, 0
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
