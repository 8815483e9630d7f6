package holepunch

import (
	"fmt"
	"slices"
)

// The model of a punch of two sides. Each has a contest, the one that a punch has, and the model is what is
// around it: the connections, what goes through them, and all that can happen in its own time. A handshake is that of
// Noise's XX or of TLS 1.3: the initiator speaks, the responder answers, the initiator asks whether it is
// chosen, and what it says after that has the responder take the connection for secured; package transport's tests
// hold its handshakes to that. In a late model there is a fourth message, as where a muxer is negotiated, and the
// initiator waits for it.
//
// Time is not in the model: what a timer does may happen whenever it is set.

// maxLines is how many connections a model has at most.
const maxLines = 3

type sideOf int

const (
	initiator sideOf = iota
	responder
)

func (s sideOf) other() sideOf  { return 1 - s }
func (s sideOf) String() string { return [...]string{"initiator", "responder"}[s] }

// A phase is that of one end of a connection.
type phase uint8

const (
	absent   phase = iota
	queued         // up
	begun          // in its handshake: the initiator has spoken, the responder listens
	answered       // the responder has answered
	asking         // the initiator has read that, and asks whether the connection is chosen
	granted        // it is
	spoken         // the initiator's last message is out, and it waits for a fourth
	secured        // the handshake has ended well, and the contest is not told yet
	failed         // or not
	held           // what the punch has come to
	closed
)

func (p phase) String() string {
	return [...]string{"absent", "queued", "begun", "answered", "asking", "granted", "spoken", "secured", "failed", "held", "closed"}[p]
}

// shakes tells whether the handshake is still under way.
func (p phase) shakes() bool { return p >= begun && p <= spoken }

// chosen tells whether an initiator has chosen that, and has not given it up.
func (p phase) chosen() bool { return p >= granted && p <= held && p != failed }

// A line is a connection, with what its ends have said to each other.
type line struct {
	end   [2]phase
	said  [5]bool // messages 1 to 4
	heard [2]bool // what each end has: anything
	dead  bool    // nothing gets through any more, and each end hears of that sooner or later
}

// A kind is what there is at the other end of a connection.
type kind struct {
	stranger bool   // the other side has not this connection: nobody can end the handshake well there
	at       sideOf // where a stranger comes
	anyPort  [2]bool
}

// A model is what does not change while it is explored.
type model struct {
	lines    []kind
	late     bool
	failures int             // of each side's candidates, before it begins
	faults   map[string]bool // which may come
	most     uint8           // how many of them; 0 for no bound
	rules    rules           // the contest's, unless a test breaks one
	conns    [2][]*Conn      // nothing but names
	causes   map[string]bool // why one side may hold what the other does not, as it was found
}

// rules are the methods of a contest that decide.
type rules struct {
	due     func(*contest) *Conn
	ask     func(*contest, *Conn) *Conn
	shaken  func(k *contest, c *Conn, secured, heard bool) (bool, *Conn)
	silent  func(*contest) []*Conn
	settled func(*contest) bool
}

var theRules = rules{(*contest).due, (*contest).ask, (*contest).shaken, (*contest).silent, (*contest).settled}

// A state is one of a model.
type state struct {
	k        [2]contest
	lines    [maxLines]line
	ended    [2]bool // the punch has returned
	cut      [2]bool // it was stopped, by its caller or the peer, or its window ended early
	timeouts [2]bool // a handshake took too long
	faults   uint8   // so far
}

func (m *model) begin() *state {
	s := new(state)
	for side := range m.conns {
		m.conns[side] = nil
		s.k[side] = contest{initiator: sideOf(side) == initiator, failures: m.failures}
		for i := range m.lines {
			m.conns[side] = append(m.conns[side], &Conn{Candidate: !m.lines[i].stranger && !m.lines[i].anyPort[side]})
		}
	}
	for i, k := range m.lines {
		if k.stranger {
			s.lines[i].end[k.at.other()] = closed
			s.lines[i].said = [5]bool{1: true, 2: true}
		}
	}
	return s
}

func (s *state) clone() *state {
	c := *s
	for i := range c.k {
		k := &c.k[i]
		k.queue, k.shaking, k.asking = slices.Clone(k.queue), slices.Clone(k.shaking), slices.Clone(k.asking)
		k.strangers = slices.Clone(k.strangers)
	}
	return &c
}

func (m *model) number(side sideOf, c *Conn) int { return slices.Index(m.conns[side], c) }

// A violation is what must not be.
type violation string

func broken(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// step is what the loop of a punch does after each event, and, when it is over, its end.
func (m *model) step(s *state, side sideOf) {
	k := &s.k[side]
	if !k.over {
		for c := m.rules.due(k); c != nil; c = m.rules.due(k) {
			i := m.number(side, c)
			s.lines[i].end[side] = begun
			if side == initiator {
				s.lines[i].said[1] = true
			}
		}
		k.over = m.rules.settled(k)
	}
	if k.over && len(k.shaking) == 0 && !s.ended[side] {
		s.ended[side] = true
		for _, c := range k.queue {
			m.lose(s, side, m.number(side, c))
			s.lines[m.number(side, c)].end[side] = closed
		}
		k.queue = nil
	}
}

// gaveUp tells whether a side has ended for another reason than that it has a connection.
func (s *state) gaveUp(side sideOf) bool {
	k := &s.k[side]
	return s.cut[side] || k.failures >= maxFailures || k.windowOver && !k.won
}

// lose is when a side closes a connection, or ends its handshake, since it needs it no longer.
func (m *model) lose(s *state, side sideOf, i int) {
	l := &s.lines[i]
	switch {
	case s.gaveUp(side):
	case !s.k[side].won:
		broken("the %s closes connection %d before it has another", side, i)
	case side == responder && l.end[initiator].chosen() && !l.dead:
		broken("the responder closes connection %d, which the initiator has chosen", i)
	case side == initiator && (l.end[responder] == secured || l.end[responder] == held) && !l.dead:
		broken("the initiator closes connection %d, which the responder has", i)
	}
}

// check looks at what must be true of every state.
func (m *model) check(s *state) {
	holds := func(side sideOf) (is []int) {
		for i := range m.lines {
			if s.lines[i].end[side] == held {
				is = append(is, i)
			}
		}
		return is
	}
	ours, theirs := holds(initiator), holds(responder)
	if len(ours) > 1 {
		broken("the initiator holds %v", ours)
	}
	for _, i := range theirs {
		l := &s.lines[i]
		if l.end[initiator] != failed && l.end[initiator] != closed && !l.dead {
			for _, j := range ours {
				if i != j {
					broken("the initiator holds connection %d, and the responder %d", j, i)
				}
			}
		}
	}
	for side, is := range [2][]int{ours, theirs} {
		for _, i := range is {
			if s.lines[i].end[sideOf(side).other()] != held {
				m.causes[fmt.Sprintf("the %s holds one, %s", sideOf(side), m.because(s, sideOf(side).other(), i))] = true
			}
		}
	}
}

// because says why a side does not hold a connection that the other holds.
func (m *model) because(s *state, side sideOf, i int) string {
	l := &s.lines[i]
	switch e := l.end[side]; {
	case e == secured:
		return fmt.Sprintf("and the %s is about to", side)
	case l.dead:
		return "and it has died"
	case e == answered && l.said[3], e == spoken && l.said[4]:
		return fmt.Sprintf("and the last message is on its way to the %s", side)
	case e != failed && e != closed:
		broken("the %s does not know of connection %d, which the other holds", side, i)
	case s.gaveUp(side):
		return fmt.Sprintf("and the %s has given up", side)
	case s.timeouts[side]:
		return fmt.Sprintf("and the handshake took too long for the %s", side)
	case s.lines[i].end[side.other()] == held:
		broken("the %s has closed connection %d, which the other holds", side, i)
	}
	return ""
}

// checkEnd looks at what must be true when nothing can happen any more.
func (m *model) checkEnd(s *state) {
	for _, side := range []sideOf{initiator, responder} {
		if !s.ended[side] {
			broken("the %s waits for what does not come", side)
		}
	}
	both, healthy := 0, false
	for i, k := range m.lines {
		l := &s.lines[i]
		if l.end[initiator] != l.end[responder] {
			broken("connection %d is %s at the initiator, and %s at the responder", i, l.end[initiator], l.end[responder])
		}
		switch l.end[initiator] {
		case held:
			both++
		case closed:
		default:
			broken("connection %d is left open", i)
		}
		healthy = healthy || !k.stranger && !l.dead
	}
	excused := s.cut != [2]bool{} || s.timeouts != [2]bool{} || s.k[0].failures >= maxFailures || s.k[1].failures >= maxFailures
	switch {
	case both > 1:
		broken("both hold %d connections", both)
	case both == 1, !healthy, excused:
	case s.faults == 0:
		broken("neither holds a connection, and nothing has happened to what was there")
	case !s.k[initiator].won && !s.k[responder].won: // what was won may have died
		broken("neither has come to a connection, and there is one to which nothing has happened")
	}
}
