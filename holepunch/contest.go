package holepunch

import "slices"

const (
	// maxStrangers bounds the handshakes with ends that are no candidate.
	maxStrangers = 8

	// maxFailures is how many connections to candidates may fail their handshake
	// before the punch is given up: the peer is there, and will not have it. A
	// connection that comes up on one side only, as a RST crosses it, costs
	// one or two.
	maxFailures = 8

	// maxQueue bounds the connections that wait for their handshake: as many as
	// a port keeps for an attempt that does not know its peer's candidates yet.
	maxQueue = 64
)

// A contest decides which of the connections that come up is the one, and when it is decided. It is told
// what happens and says what is to be done, and has neither sockets nor a clock. Both sides must come
// to the same, whatever the order in which things happen: TestContest tries all orders.
//
// The initiator chooses, once a connection's handshake would make the responder take it for secured.
// Everything that is not chosen is left alone until what is chosen is secured, and can take
// its place if it fails.
type contest struct {
	initiator  bool
	queue      []*Conn // up, and not yet in their handshake
	shaking    []*Conn // in their handshake
	asking     []*Conn // whether to be chosen; the first comes first
	chosen     *Conn
	impatient  bool // the latest handshake has had the time that it should take
	windowOver bool // no more connects are begun
	won        bool
	over       bool // no more is begun, nor chosen
	failures   int  // of handshakes with candidates
}

// add takes a connection that is up. It returns one to be given up for it, or nil: the stranger's that
// has waited longest, or else a candidate's.
func (k *contest) add(c *Conn) (crowded *Conn) {
	k.queue = append(k.queue, c)
	if len(k.queue) <= maxQueue {
		return nil
	}
	i := max(0, slices.IndexFunc(k.queue, func(c *Conn) bool { return !c.Candidate }))
	crowded = k.queue[i]
	k.queue = slices.Delete(k.queue, i, i+1)
	return crowded
}

// due returns the connection whose handshake is to begin now, or nil. It is to be asked until then, after
// everything that happens. When a responder has a secured connection, the initiator has its own, be it the
// same or one whose handshake is under way here: no other is of use to it.
func (k *contest) due() *Conn {
	i := slices.IndexFunc(k.queue, k.hasTurn)
	if i < 0 || k.won || k.failures >= maxFailures {
		return nil
	}
	c := k.queue[i]
	k.queue = slices.Delete(k.queue, i, i+1)
	k.shaking = append(k.shaking, c)
	k.impatient = false
	return c
}

// hasTurn: a responder serves whoever shakes hands. An initiator spares both sides
// needless handshakes: while it tries a candidate's connection the others wait, for a time
// in which the peer should have answered. Strangers never make it wait.
func (k *contest) hasTurn(c *Conn) bool {
	candidates := 0
	for _, s := range k.shaking {
		if s.Candidate {
			candidates++
		}
	}
	if k.initiator && candidates > 0 && !k.impatient {
		return false
	}
	return c.Candidate || len(k.shaking)-candidates < maxStrangers
}

// ask is told that a handshake must not go on unless its connection is chosen. It returns the
// connection that is chosen by that, or nil.
func (k *contest) ask(c *Conn) *Conn {
	if c != k.chosen {
		k.asking = append(k.asking, c)
	}
	return k.choose()
}

// choose chooses the connection that has asked first, if none is chosen. When the punch is over,
// none of those left is to get any further.
func (k *contest) choose() *Conn {
	if k.over || k.chosen != nil || len(k.asking) == 0 {
		return nil
	}
	k.chosen = k.asking[0]
	return k.chosen
}

// shaken is told what a handshake came to, and whether the connection is wanted then. If not, it is to be closed.
// Another one may be chosen in its place.
func (k *contest) shaken(c *Conn, secured bool) (wanted bool, chosen *Conn) {
	is := func(s *Conn) bool { return s == c }
	k.shaking = slices.DeleteFunc(k.shaking, is)
	k.asking = slices.DeleteFunc(k.asking, is)
	switch {
	case secured && k.won && k.initiator:
		return false, nil
	case secured:
		k.won = true
		return true, nil
	}
	if c.Candidate {
		k.failures++
	}
	if c == k.chosen {
		k.chosen = nil
		chosen = k.choose()
	}
	return false, chosen
}

// settled tells whether there is nothing left to wait for. It is to be asked when nothing is due.
func (k *contest) settled() bool {
	switch {
	case k.failures >= maxFailures:
		return true
	case k.won && k.initiator:
		return true
	default:
		return (k.won || k.windowOver) && len(k.shaking) == 0
	}
}
