package punch

import (
	"fmt"
	"slices"
	"strings"
)

// The model of a stream between two sides. Each side has a choice, the one that a Stream has, and
// the model is what is around it: the connections, the bytes that are on their way through them,
// the applications, and all that can happen in its own time. Bytes are those of the wire, as the
// choices make and read them.
//
// Time is not in the model: what a timer does may happen whenever it is set.

// maxCopies is how many connections a model has at most.
const maxCopies = 3

// A role is one of the two sides.
type role int

const (
	initiator role = iota
	responder
)

func (r role) other() role    { return 1 - r }
func (r role) String() string { return [...]string{"initiator", "responder"}[r] }

// tokens are those that the copies of each side have to show.
var tokens = [2]Token{initiator: {'i'}, responder: {'r'}}

// streams are what the applications write, a byte at a time.
var streams = [2]string{initiator: "ab", responder: "xy"}

// A copyKind says what a connection of a model is.
type copyKind uint8

const (
	crossed              copyKind = iota // both sides have connected
	initiatorAccepts                     // the responder has connected
	responderAccepts                     // the initiator has connected
	strangerForInitiator                 // the initiator has connected to a stranger without a token
	strangerForResponder
)

// accepts reports whether the side has accepted the connection.
func (k copyKind) accepts(r role) bool {
	return k == initiatorAccepts && r == initiator || k == responderAccepts && r == responder
}

// stranger reports whether the other end of the side's connection is a stranger's.
func (k copyKind) stranger(r role) bool {
	return k == strangerForInitiator && r == initiator || k == strangerForResponder && r == responder
}

// has reports whether the connection has an end at the side.
func (k copyKind) has(r role) bool { return k <= responderAccepts || k.stranger(r) }

// A model is what does not change while it is explored.
type model struct {
	kinds  []copyKind
	writes [2]int // how many bytes each application writes
	faults uint8  // at most
	rules  rules  // the choice's, unless a test breaks one
}

// rules are the methods of a choice that a test can break.
type rules struct {
	add     func(k *choice, c *streamCopy, accepted bool)
	admit   func(k *choice, c *streamCopy)
	receive func(k *choice, c *streamCopy, b []byte) bool
	next    func(k *choice, c *streamCopy, b []byte) []byte
	flushed func(k *choice, c *streamCopy) bool
	timeout func(k *choice)
}

var theRules = rules{
	(*choice).add, (*choice).admit, (*choice).receive, (*choice).next, (*choice).flushed,
	func(k *choice) { k.fail(ErrNoChoice) },
}

// A state is one of a model.
type state struct {
	sides  [2]sideState
	conns  [maxCopies]connState
	faults uint8 // so far
}

type sideState struct {
	choice
	copies [maxCopies]endState
	wrote  int    // by the application
	read   string // by the application
	direct bool   // what is written goes to the chosen connection
	failed bool   // which had an error
	cut    bool   // a timer ran out early, or the caller has ended the stream
}

type endState struct {
	streamCopy
	up     bool
	never  bool // it does not come up
	asking bool // it has shown the right token, and the application is asked
	closed bool // with a reset
}

// A connState is what is on the way through a connection.
type connState struct {
	sent [2]string // by each side, and not received
	lost [2]bool   // nothing that this side sends gets through any more
	said bool      // the stranger has spoken
}

func (m *model) begin() *state {
	s := new(state)
	for r := range s.sides {
		s.sides[r].choice = choice{initiator: role(r) == initiator, token: tokens[r]}
	}
	// The responder has read the OFFER.
	s.sides[responder].preamble = tokens[initiator].AppendPreamble(nil)
	return s
}

// copyTo makes another state the same as s. They share nothing that changes.
func (s *state) copyTo(c *state) {
	var copies [2][]*streamCopy
	for r := range c.sides {
		copies[r] = c.sides[r].choice.copies[:0]
	}
	*c = *s
	for r := range c.sides {
		from, k := &s.sides[r], &c.sides[r]
		k.chosen = k.moved(from, from.chosen)
		k.choice.copies = copies[r]
		for _, old := range from.choice.copies {
			k.choice.copies = append(k.choice.copies, k.moved(from, old))
		}
		k.in, k.out = slices.Clip(k.in), slices.Clip(k.out)
	}
}

// moved returns the copy that is to k what c is to another.
func (k *sideState) moved(other *sideState, c *streamCopy) *streamCopy {
	for i := range other.copies {
		if c == &other.copies[i].streamCopy {
			return &k.copies[i].streamCopy
		}
	}
	return nil
}

// A violation is what must not be.
type violation string

func broken(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// after does what a Stream does after each change of its choice, and what its application does.
func (m *model) after(s *state, r role) {
	k := &s.sides[r]
	for _, c := range k.dropped {
		for i := range k.copies {
			if c == &k.copies[i].streamCopy {
				if k.chosen == nil && k.err == nil && !k.cut && c.dropped != errLost && m.kinds[i] <= responderAccepts {
					broken("the %s drops connection %d, which is the peer's: %v", r, i, c.dropped)
				}
				s.close(r, i)
			}
		}
	}
	k.dropped = nil
	if n := len(k.in) - k.choice.read; n > 0 {
		buf := make([]byte, n)
		k.read += string(buf[:k.take(buf)])
	}
}

// close resets a side's end of a connection.
func (s *state) close(r role, i int) {
	e := &s.sides[r].copies[i]
	e.up, e.closed, e.asking = true, true, false
	s.conns[i].sent[r.other()] = ""
}

// send puts bytes on their way.
func (m *model) send(s *state, r role, i int, b []byte) {
	c, end, other := &s.conns[i], &s.sides[r].copies[i], &s.sides[r.other()].copies[i]
	switch {
	case m.kinds[i].stranger(r):
		if r == responder && (end.sent > 0 || len(b) > preambleLen) {
			broken("the responder's stream goes to a stranger")
		}
	case !c.lost[r] && !other.closed && !other.never:
		c.sent[r] += string(b)
	}
}

// isChosen reports whether a side has chosen the connection.
func (k *sideState) isChosen(i int) bool { return k.chosen == &k.copies[i].streamCopy }

// over reports whether the stream of a side has ended with an error.
func (k *sideState) over() bool { return k.err != nil || k.failed }

// healthy reports whether both sides have the connection and nothing has happened to it.
func (m *model) healthy(s *state, i int) bool {
	a, b := &s.sides[initiator].copies[i], &s.sides[responder].copies[i]
	return a.up && b.up && !a.closed && !b.closed && s.conns[i].lost == [2]bool{}
}

// check looks at what must be true of every state.
func (m *model) check(s *state) {
	a, b := &s.sides[initiator], &s.sides[responder]
	for i, kind := range m.kinds {
		if (a.isChosen(i) || b.isChosen(i)) && kind >= strangerForInitiator {
			broken("connection %d is chosen, which is a stranger's", i)
		}
		if a.isChosen(i) != b.isChosen(i) && a.chosen != nil && b.chosen != nil {
			broken("the sides choose different connections")
		}
	}
	if b.chosen != nil && a.chosen == nil {
		broken("the responder believes that a connection was chosen")
	}
	for r := range s.sides {
		if k := &s.sides[r]; !strings.HasPrefix(streams[role(r).other()], k.read) {
			broken("the %s's application reads %q", role(r), k.read)
		}
	}
}

// checkQuiet looks at what must be true when nothing happens any more but that timers run out.
func (m *model) checkQuiet(s *state) {
	a, b := &s.sides[initiator], &s.sides[responder]
	if a.over() || b.over() || a.cut || b.cut {
		return
	}
	for i := range m.kinds {
		if !m.healthy(s, i) {
			continue
		}
		for r, k := range []*sideState{a, b} {
			if k.chosen == nil {
				broken("the %s has chosen nothing, and nothing has happened to connection %d", role(r), i)
			}
		}
	}
}

// checkEnd looks at what must be true when nothing can happen any more.
func (m *model) checkEnd(s *state) {
	a, b := &s.sides[initiator], &s.sides[responder]
	for r, k := range []*sideState{a, b} {
		if k.chosen == nil && k.err == nil {
			broken("the %s waits for what does not come", role(r))
		}
		for i := range k.copies {
			if e := &k.copies[i]; e.up && !e.closed && !(k.isChosen(i) && !k.over()) {
				broken("the %s leaves connection %d open", role(r), i)
			}
		}
	}
	switch {
	case a.over() != b.over():
		broken("initiator: %v, %v; responder: %v, %v", a.err, a.failed, b.err, b.failed)
	case a.over() && s.faults == 0 && !a.cut && !b.cut:
		broken("both streams have ended with an error, and nothing has happened")
	case a.over():
	case a.read != streams[responder][:m.writes[responder]], b.read != streams[initiator][:m.writes[initiator]]:
		broken("the applications have read %q and %q in the end", a.read, b.read)
	}
}
