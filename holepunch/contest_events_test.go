package holepunch

import (
	"fmt"
	"slices"
)

// An event is what may happen next, at a side or at its end of a connection.
type event struct {
	*occurrence
	side sideOf
	line int // -1 for none
}

type occurrence struct {
	what string
	rare string // what kind of fault it is; "" for none
	do   func(*model, *state, sideOf, int)
}

func (e event) String() string {
	if e.line < 0 {
		return fmt.Sprintf("the %s %s", e.side, e.what)
	}
	return fmt.Sprintf("connection %d, %s: %s", e.line, e.side, e.what)
}

// sideEvents are those of one side, and lineEvents those of one end of a connection.
var sideEvents = []struct {
	occurrence
	may func(*model, *state, sideOf) bool
}{
	{
		occurrence{what: "has given a handshake the time that it should take", do: func(m *model, s *state, side sideOf, _ int) {
			s.k[side].impatient = true
			m.step(s, side)
		}},
		func(m *model, s *state, side sideOf) bool {
			k := &s.k[side]
			return side == initiator && !k.over && !k.impatient && len(k.queue) > 0
		},
	},
	{
		occurrence{what: "begins no more connects", rare: "window", do: func(m *model, s *state, side sideOf, _ int) {
			s.cut[side] = true
			m.windowEnds(s, side, -1)
		}},
		func(m *model, s *state, side sideOf) bool { return !s.k[side].over && !s.k[side].windowOver },
	},
	{
		occurrence{what: "is stopped", rare: "stop", do: (*model).stop},
		func(m *model, s *state, side sideOf) bool { return !s.k[side].over },
	},
	{
		occurrence{what: "is told that the other has given up", do: (*model).stop},
		func(m *model, s *state, side sideOf) bool {
			return !s.k[side].over && s.ended[side.other()] && !s.k[side.other()].won
		},
	},
	{
		occurrence{what: "was told that the other has a connection, and has waited for it", rare: "grace", do: (*model).stop},
		func(m *model, s *state, side sideOf) bool {
			return side == responder && !s.k[side].over && s.ended[initiator] && s.k[initiator].won
		},
	},
}

var lastResort = occurrence{what: "waits until its window is over", do: (*model).windowEnds}

func (m *model) windowEnds(s *state, side sideOf, _ int) {
	s.k[side].windowOver = true
	m.step(s, side)
}

func (m *model) stop(s *state, side sideOf, _ int) {
	s.cut[side], s.k[side].over = true, true
	m.step(s, side)
}

var lineEvents = []struct {
	occurrence
	may func(*model, *state, sideOf, int) bool
}{
	{
		occurrence{what: "is up", do: func(m *model, s *state, side sideOf, i int) {
			if s.k[side].over {
				s.lines[i].end[side] = closed
				return
			}
			s.lines[i].end[side] = queued
			s.k[side].add(m.conns[side][i])
			m.step(s, side)
		}},
		func(m *model, s *state, side sideOf, i int) bool { return s.lines[i].end[side] == absent },
	},
	{
		occurrence{what: "hears the first message, and answers", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].end[side] = answered
			s.lines[i].heard[side] = true
			s.lines[i].said[2] = true
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return side == responder && s.hears(side, i, begun, 1)
		},
	},
	{
		occurrence{what: "hears the answer, and asks whether it is chosen", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].end[side] = asking
			s.lines[i].heard[side] = true
			if !s.k[side].over { // or else nobody listens
				m.grant(s, side, m.rules.ask(&s.k[side], m.conns[side][i]))
				m.step(s, side)
			}
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return side == initiator && s.hears(side, i, begun, 2)
		},
	},
	{
		occurrence{what: "is chosen, and says so by the last message", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].said[3] = true
			s.lines[i].end[side] = secured
			if m.late {
				s.lines[i].end[side] = spoken
			}
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return s.lines[i].end[side] == granted && !m.lines[i].stranger
		},
	},
	{
		occurrence{what: "hears the last message, and has it secured", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].end[side] = secured
			s.lines[i].said[4] = m.late
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return side == responder && s.hears(side, i, answered, 3)
		},
	},
	{
		occurrence{what: "hears that the other has it secured", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].end[side] = secured
		}},
		func(m *model, s *state, side sideOf, i int) bool { return s.hears(side, i, spoken, 4) },
	},
	{
		occurrence{what: "hears that it is gone", do: func(m *model, s *state, side sideOf, i int) {
			if s.lines[i].end[side] == held {
				s.lines[i].end[side] = closed
				return
			}
			s.lines[i].end[side] = failed
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			l := &s.lines[i]
			return (l.end[side].shakes() || l.end[side] == held) && (l.dead || l.end[side.other()] == closed)
		},
	},
	{
		occurrence{what: "its handshake is cancelled", do: func(m *model, s *state, side sideOf, i int) {
			m.lose(s, side, i)
			s.lines[i].end[side] = failed
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return s.k[side].over && s.lines[i].end[side].shakes()
		},
	},
	{
		occurrence{what: "its handshake takes too long", rare: "timeout", do: func(m *model, s *state, side sideOf, i int) {
			s.lines[i].end[side] = failed
			s.timeouts[side] = true
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return !s.k[side].over && s.lines[i].end[side].shakes()
		},
	},
	{
		occurrence{what: "its handshake is over", do: func(m *model, s *state, side sideOf, i int) {
			ok := s.lines[i].end[side] == secured
			wanted, chosen := m.rules.shaken(&s.k[side], m.conns[side][i], ok, s.lines[i].heard[side])
			s.lines[i].end[side] = closed
			if wanted {
				s.lines[i].end[side] = held
				m.leaveSilent(s, side)
			} else if ok {
				m.lose(s, side, i)
			}
			m.grant(s, side, chosen)
			m.step(s, side)
		}},
		func(m *model, s *state, side sideOf, i int) bool {
			return s.lines[i].end[side] == secured || s.lines[i].end[side] == failed
		},
	},
	{
		occurrence{what: "dies", rare: "death", do: func(m *model, s *state, _ sideOf, i int) { s.lines[i].dead = true }},
		func(m *model, s *state, side sideOf, i int) bool { // it is the same for both sides
			l := &s.lines[i]
			return side == initiator && !m.lines[i].stranger && !l.dead && l.end != [2]phase{closed, closed}
		},
	},
}

// leaveSilent ends the handshakes on strangers' connections on which nothing was heard.
func (m *model) leaveSilent(s *state, side sideOf) {
	for i, c := range m.conns[side] {
		c.heard.Store(s.lines[i].heard[side])
	}
	for _, c := range m.rules.silent(&s.k[side]) {
		i := m.number(side, c)
		m.lose(s, side, i)
		s.k[side].leave(c)
		if s.lines[i].end[side] = failed; !slices.Contains(s.k[side].shaking, c) {
			s.lines[i].end[side] = closed
		}
	}
}

// hears tells whether an end that is in a phase can read a message.
func (s *state) hears(side sideOf, i int, in phase, number int) bool {
	l := &s.lines[i]
	return l.end[side] == in && l.said[number] && !l.dead
}

func (m *model) grant(s *state, side sideOf, c *Conn) {
	if i := m.number(side, c); i >= 0 && s.lines[i].end[side] == asking {
		s.lines[i].end[side] = granted
	}
}

// next returns all that may happen, and whether nothing will if there is no fault. Faults are bounded, and
// windows end when there is nothing else to wait for.
func (m *model) next(s *state) (es []event, quiet bool) {
	quiet = true
	add := func(o *occurrence, side sideOf, i int) {
		switch {
		case o.rare == "":
			quiet = false
		case !m.faults[o.rare] || m.most > 0 && s.faults >= m.most:
			return
		}
		es = append(es, event{o, side, i})
	}
	for _, side := range []sideOf{initiator, responder} {
		for e := range sideEvents {
			if e := &sideEvents[e]; e.may(m, s, side) {
				add(&e.occurrence, side, -1)
			}
		}
		for i := range m.lines {
			for e := range lineEvents {
				if e := &lineEvents[e]; e.may(m, s, side, i) {
					add(&e.occurrence, side, i)
				}
			}
		}
	}
	for _, side := range []sideOf{initiator, responder} {
		if quiet && !s.k[side].over && !s.k[side].windowOver {
			add(&lastResort, side, -1)
		}
	}
	return es, quiet
}
