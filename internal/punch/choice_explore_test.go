package punch

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// A key is the same for states from which the same can follow: connections of the same kind have
// no names.
type key [16]byte

func (m *model) key(s *state) key {
	var whole [maxCopies][]byte
	for i := range m.kinds {
		b := append(make([]byte, 0, 200), byte(m.kinds[i]))
		c := &s.conns[i]
		for r := range s.sides {
			k, e := &s.sides[r], &s.sides[r].copies[i]
			b = append(b, flags(e.up, e.never, e.asking, e.closed, e.admitted, e.opened, e.marked, e.dropped != nil),
				flags(k.isChosen(i), c.lost[r], c.said), byte(e.state), byte(e.sent), byte(e.framed), byte(e.left), byte(e.n))
			b = append(b, e.buf[:e.n]...)
			b = append(b, byte(len(c.sent[r])))
			b = append(b, c.sent[r]...)
		}
		whole[i] = b
	}
	slices.SortFunc(whole[:len(m.kinds)], bytes.Compare)
	b := append(make([]byte, 0, 700), s.faults)
	for r := range s.sides {
		k := &s.sides[r]
		b = append(b, flags(k.preamble != nil, k.direct, k.failed, k.cut, k.err != nil), byte(k.wrote), byte(len(k.out)), byte(len(k.in)))
		b = append(b, k.read...)
		b = append(b, 0)
	}
	for _, w := range whole {
		b = append(b, w...)
	}
	sum := sha256.Sum256(b)
	return key(sum[:16])
}

func flags(bs ...bool) (v byte) {
	for _, b := range bs {
		v <<= 1
		if b {
			v |= 1
		}
	}
	return v
}

// explore visits every state that can be reached, the nearest first. It returns how many there
// are, how many are an end, and what is wrong with the first that must not be, with the shortest
// way to it; or "".
func (m *model) explore() (states, ends int, wrong string) {
	type step struct {
		from int
		event
	}
	way := []step{{from: -1}} // to each state, in the order of todo
	at := -1
	var by *event // from there
	defer func() {
		switch v := recover().(type) {
		case nil:
		case violation:
			steps := []string{string(v) + ", after"}
			if by != nil {
				steps = slices.Insert(steps, 1, by.String())
			}
			for ; at > 0; at = way[at].from {
				steps = slices.Insert(steps, 1, way[at].String())
			}
			states, wrong = len(way), strings.Join(steps, "\n\t")
		default:
			panic(v)
		}
	}()
	first := m.begin()
	todo := []*state{first}
	seen := map[key]bool{m.key(first): true}
	c := new(state) // what an event leads to
	for at = 0; at < len(todo); at++ {
		s := todo[at]
		todo[at], by = nil, nil
		here := m.key(s)
		// try reports whether an event changes anything.
		try := func(e event, faults uint8) bool {
			by = &e
			s.copyTo(c)
			c.faults += faults
			e.do(m, c, e.side, e.conn)
			m.after(c, e.side)
			m.check(c)
			to := m.key(c)
			if !seen[to] {
				seen[to] = true
				way, todo = append(way, step{at, e}), append(todo, c)
				c = new(state)
			}
			return to != here
		}
		quiet := true
		var timers []event
		for _, e := range m.all(s) {
			switch {
			case e.urge == sure && try(e, 0):
				quiet = false
			case e.urge == maybe:
				try(e, 0)
			case e.urge == timer:
				timers = append(timers, e)
				fallthrough
			case e.urge == fault:
				if s.faults < m.faults {
					try(e, 1)
				}
			}
		}
		by = nil
		if !quiet {
			continue
		}
		m.checkQuiet(s)
		end := true
		for _, e := range timers {
			end = !try(e, 0) && end
		}
		if by = nil; end {
			ends++
			m.checkEnd(s)
		}
	}
	return len(way), ends, ""
}
