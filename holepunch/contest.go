package holepunch

import "slices"

const (
	// maxStrangers bounds the connections with ends that are no candidate: those on which nobody has
	// said a word, and again the others. Beyond that the oldest gives way. Nobody
	// knows which is the peer's, but the peer speaks, or answers, within a round trip or two, and has done
	// its handshake in two more: to be in its way, a stranger has to make 64 connections in that time, all the time,
	// from the peer's address.
	maxStrangers = 64

	// maxFailures is how many connections to candidates may fail their handshake
	// before the punch is given up: the peer is there, and will not have it. It
	// has to say so: a connection that comes up on one side only, as a RST crosses it, is no
	// failure, nor is one that made room for strangers'.
	maxFailures = 8

	// maxQueue bounds the candidates' connections that wait for their handshake. A peer has one or
	// two for each pair of ports.
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
	strangers  []*Conn // of both, those that may be anybody's, in the order of their coming
	asking     []*Conn // whether to be chosen; the first comes first
	chosen     *Conn
	impatient  bool // the latest handshake with a candidate has had the time that it should take
	windowOver bool // no more connects are begun
	won        bool
	over       bool // no more is begun, nor chosen
	failures   int  // of handshakes with candidates
}

// add takes a connection that is up. It returns those that have to make way, the oldest first. Those on
// which nobody speaks never make one go on which somebody does.
func (k *contest) add(c *Conn) (crowded []*Conn) {
	k.queue = append(k.queue, c)
	if !c.Candidate {
		k.strangers = append(k.strangers, c)
	}
	tooMany := func(conns []*Conn, are func(*Conn) bool, most int) {
		conns = kept(conns, are)
		crowded = append(crowded, conns[:max(0, len(conns)-most)]...)
	}
	tooMany(k.queue, func(c *Conn) bool { return c.Candidate }, maxQueue)
	tooMany(k.strangers, isSilent, maxStrangers)
	tooMany(k.strangers, func(c *Conn) bool { return !isSilent(c) }, maxStrangers)
	return crowded
}

// silent are the strangers' connections on which nobody has spoken. When a responder has a secured one, the
// initiator has chosen none of these.
func (k *contest) silent() []*Conn { return kept(k.strangers, isSilent) }

func isSilent(c *Conn) bool { return !c.heard.Load() }

func kept(conns []*Conn, are func(*Conn) bool) []*Conn {
	return slices.DeleteFunc(slices.Clone(conns), func(c *Conn) bool { return !are(c) })
}

// leave is told that a connection is given up before its turn, or that its handshake is ended.
func (k *contest) leave(c *Conn) {
	k.queue = without(k.queue, c)
	k.strangers = without(k.strangers, c)
}

func without(conns []*Conn, c *Conn) []*Conn {
	return slices.DeleteFunc(conns, func(o *Conn) bool { return o == c })
}

// due returns the connection whose handshake is to begin now, or nil. It is to be asked until then, after
// everything that happens. When a responder has a secured connection, the initiator has its own, be it the
// same or one whose handshake is under way here: no other is of use to it.
func (k *contest) due() *Conn {
	if len(k.queue) == 0 || !k.hasTurn() || k.won || k.failures >= maxFailures {
		return nil
	}
	c := k.queue[0]
	k.queue = k.queue[1:]
	k.shaking = append(k.shaking, c)
	if c.Candidate {
		k.impatient = false
	}
	return c
}

// hasTurn: a responder serves whoever shakes hands. An initiator spares both sides
// needless handshakes: while it tries a candidate's connection the others wait, for a time
// in which the peer should have answered. Strangers never make it wait.
func (k *contest) hasTurn() bool {
	return !k.initiator || k.impatient || !slices.ContainsFunc(k.shaking, func(c *Conn) bool { return c.Candidate })
}

// ask is told that a handshake must not go on unless its connection is chosen. It returns the
// connection that is chosen by that, or nil.
func (k *contest) ask(c *Conn) *Conn {
	k.strangers = without(k.strangers, c) // only the peer comes that far
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

// shaken is told what a handshake came to, and whether the other end has said anything in it. It says whether
// the connection is wanted then. If not, it is to be closed. Another one may be chosen in its place.
func (k *contest) shaken(c *Conn, secured, heard bool) (wanted bool, chosen *Conn) {
	k.leave(c)
	k.shaking = without(k.shaking, c)
	k.asking = without(k.asking, c)
	switch {
	case secured && k.won && k.initiator:
		return false, nil
	case secured:
		k.won = true
		return true, nil
	}
	if c.Candidate && heard {
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
