package punch

import (
	"errors"
	"fmt"
	"strings"
)

// An event is what may happen next, at a side or at its end of a connection.
type event struct {
	*occurrence
	side role
	conn int // -1 for none
}

func (e event) String() string {
	if e.conn < 0 {
		return fmt.Sprintf("the %s %s", e.side, e.what)
	}
	return fmt.Sprintf("connection %d, %s: %s", e.conn, e.side, e.what)
}

// An occurrence is a kind of event.
type occurrence struct {
	what string
	urge urge
	may  func(m *model, s *state, r role, i int) bool
	do   func(m *model, s *state, r role, i int)
}

// An urge says whether something happens sooner or later.
type urge uint8

const (
	sure  urge = iota // it does
	maybe             // it may never
	fault             // it does not, as a rule; a model bounds how often
	timer             // it does when nothing else does; before that it is a fault
)

var (
	errStopped = errors.New("stopped")
	errLost    = errors.New("connection lost")
)

// sideOccurrences are those at a side.
var sideOccurrences = []*occurrence{
	{
		"knows the peer's token", sure,
		func(m *model, s *state, r role, _ int) bool {
			return s.sides[r].preamble == nil && s.sides[r].err == nil
		},
		func(m *model, s *state, r role, _ int) { s.sides[r].open(tokens[r.other()]) },
	},
	{
		"writes", sure,
		func(m *model, s *state, r role, _ int) bool {
			k := &s.sides[r]
			return !k.over() && k.wrote < m.writes[r] && (k.chosen == nil || k.direct)
		},
		func(m *model, s *state, r role, _ int) {
			k := &s.sides[r]
			b := []byte(streams[r][k.wrote:][:1])
			k.wrote++
			if !k.direct {
				k.write(b)
				return
			}
			for i := range k.copies {
				if k.isChosen(i) {
					m.send(s, r, i, b)
				}
			}
		},
	},
	{
		"is stopped", fault,
		func(m *model, s *state, r role, _ int) bool { return s.sides[r].err == nil && s.sides[r].chosen == nil },
		func(m *model, s *state, r role, _ int) { s.sides[r].fail(errStopped); s.sides[r].cut = true },
	},
	{
		"waits no longer for the choice", timer,
		func(m *model, s *state, r role, _ int) bool {
			k := &s.sides[r]
			return r == responder && k.err == nil && k.chosen == nil && k.usable()
		},
		func(m *model, s *state, r role, _ int) { m.rules.timeout(&s.sides[r].choice); s.sides[r].cut = true },
	},
	{
		"waits no longer for connections", timer,
		func(m *model, s *state, r role, _ int) bool {
			k := &s.sides[r]
			return k.err == nil && k.chosen == nil && !k.usable() && len(k.choice.copies) == 0
		},
		func(m *model, s *state, r role, _ int) { s.sides[r].fail(errStopped); s.sides[r].cut = true },
	},
}

// usable reports whether the responder has confirmed a copy.
func (k *sideState) usable() bool {
	for i := range k.copies {
		if k.copies[i].admitted {
			return !k.initiator
		}
	}
	return false
}

// connOccurrences are those at an end of a connection.
var connOccurrences = []*occurrence{
	{
		"comes up", sure,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			if e.up || e.never || !m.kinds[i].has(r) {
				return false
			}
			// The Receiver reads the token.
			return !m.kinds[i].accepts(r) || len(s.conns[i].sent[r.other()]) >= preambleLen
		},
		func(m *model, s *state, r role, i int) {
			e := &s.sides[r].copies[i]
			e.up = true
			if m.kinds[i].accepts(r) {
				sent := &s.conns[i].sent[r.other()]
				if t, err := parsePreamble([]byte((*sent)[:preambleLen])); err != nil || t != tokens[r] {
					broken("connection %d opens with %q", i, *sent)
				}
				*sent = (*sent)[preambleLen:]
				e.asking = true
			}
			m.rules.add(&s.sides[r].choice, &e.streamCopy, m.kinds[i].accepts(r))
		},
	},
	{
		"sends what there is", sure,
		func(m *model, s *state, r role, i int) bool {
			k, e := &s.sides[r], &s.sides[r].copies[i]
			return e.up && !e.closed && !k.direct && !k.over()
		},
		func(m *model, s *state, r role, i int) {
			k, e := &s.sides[r], &s.sides[r].copies[i]
			if k.direct = m.rules.flushed(&k.choice, &e.streamCopy); k.direct {
				return
			}
			if b := m.rules.next(&k.choice, &e.streamCopy, nil); len(b) > 0 {
				m.send(s, r, i, b)
			}
		},
	},
	{
		"receives", sure,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			return e.up && !e.closed && !e.asking && s.conns[i].sent[r.other()] != ""
		},
		func(m *model, s *state, r role, i int) {
			k, e, sent := &s.sides[r], &s.sides[r].copies[i], &s.conns[i].sent[r.other()]
			if k.isChosen(i) {
				k.read += *sent
				*sent = ""
				return
			}
			// What comes next, up to what changes anything.
			before := len(k.in)
			for *sent != "" && e.want() > 0 && e.dropped == nil && len(k.in) == before && !e.asking {
				n := min(e.want(), len(*sent))
				b := []byte((*sent)[:n])
				*sent = (*sent)[n:]
				e.asking = m.rules.receive(&k.choice, &e.streamCopy, b)
			}
		},
	},
	{
		"is admitted", sure,
		func(m *model, s *state, r role, i int) bool { return s.sides[r].copies[i].asking },
		func(m *model, s *state, r role, i int) {
			e := &s.sides[r].copies[i]
			e.asking = false
			m.rules.admit(&s.sides[r].choice, &e.streamCopy)
		},
	},
	{
		"is refused", fault,
		func(m *model, s *state, r role, i int) bool { return s.sides[r].copies[i].asking },
		func(m *model, s *state, r role, i int) {
			s.sides[r].copies[i].asking = false
			s.sides[r].fail(errStopped)
			s.sides[r].cut = true
		},
	},
	{
		"sees the end of it", sure,
		func(m *model, s *state, r role, i int) bool {
			k, e, c := &s.sides[r], &s.sides[r].copies[i], &s.conns[i]
			if !e.up || e.closed || m.kinds[i].stranger(r) {
				return false
			}
			lost := c.lost != [2]bool{}
			if k.isChosen(i) { // by the time that TCP gives up, if not by a reset
				return lost || s.sides[r.other()].copies[i].closed
			}
			return s.sides[r.other()].copies[i].closed && !c.lost[r.other()] || c.lost == [2]bool{true, true}
		},
		(*model).end,
	},
	{
		"sees the end of it by chance", maybe,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			return e.up && !e.closed && (m.kinds[i].stranger(r) || s.conns[i].lost != [2]bool{} || s.sides[r.other()].copies[i].never)
		},
		(*model).end,
	},
	{
		"takes too long", timer,
		func(m *model, s *state, r role, i int) bool {
			k, e := &s.sides[r], &s.sides[r].copies[i]
			return e.up && !e.closed && e.opened && !k.isChosen(i) && e.state == atPreamble
		},
		func(m *model, s *state, r role, i int) {
			s.sides[r].timeout(&s.sides[r].copies[i].streamCopy)
			s.sides[r].cut = true
		},
	},
	{
		"nothing that is sent gets through any more", fault,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			return m.kinds[i] <= responderAccepts && e.up && !e.closed && !s.conns[i].lost[r]
		},
		func(m *model, s *state, r role, i int) { s.conns[i].lost[r], s.conns[i].sent[r] = true, "" },
	},
	{
		"never comes up", fault,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			return m.kinds[i] <= responderAccepts && !e.up && !e.never
		},
		func(m *model, s *state, r role, i int) {
			s.sides[r].copies[i].never = true
			s.conns[i].sent[r.other()] = ""
		},
	},
	strangerSays("another token", func(r role) string {
		return string(Token{'?'}.AppendPreamble(nil)) + strangersStream[r]
	}),
	strangerSays("the token that it was shown", func(r role) string {
		return string(tokens[r.other()].AppendPreamble(nil)) + strangersStream[r]
	}),
	strangerSays("no token", func(r role) string { return strangersStream[r] + strings.Repeat("z", preambleLen) }),
	strangerSays("little", func(r role) string { return "simopen" }),
}

// strangersStream is what a side would take for its peer's stream, after the token.
var strangersStream = [2]string{
	initiator: "z",
	responder: string(appendFrames(nil, []byte("z"))) + string(kindMarker) + "z",
}

func strangerSays(what string, say func(r role) string) *occurrence {
	return &occurrence{
		"the stranger says " + what, maybe,
		func(m *model, s *state, r role, i int) bool {
			e := &s.sides[r].copies[i]
			return m.kinds[i].stranger(r) && e.up && !e.closed && !s.conns[i].said
		},
		func(m *model, s *state, r role, i int) {
			s.conns[i].said = true
			s.conns[i].sent[r.other()] = say(r)
		},
	}
}

// end is when an end learns that its connection is gone. What was on its way to it may be lost.
func (m *model) end(s *state, r role, i int) {
	k := &s.sides[r]
	if k.isChosen(i) {
		k.failed = true
		s.close(r, i)
		return
	}
	k.drop(&k.copies[i].streamCopy, errLost)
}

// all appends all that may happen.
func (m *model) all(s *state, es []event) []event {
	for _, r := range []role{initiator, responder} {
		for _, o := range sideOccurrences {
			if o.may(m, s, r, -1) {
				es = append(es, event{o, r, -1})
			}
		}
		for i := range m.kinds {
			for _, o := range connOccurrences {
				if o.may(m, s, r, i) {
					es = append(es, event{o, r, i})
				}
			}
		}
	}
	return es
}
