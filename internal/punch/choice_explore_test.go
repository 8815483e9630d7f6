package punch

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"
)

// A key is the same for states from which the same can follow: connections of the same kind have
// no names. It is a hash of 128 bits.
type key [2]uint64

// A keyMaker makes keys of the states of a model.
type keyMaker struct {
	kinds []copyKind
	seeds [2]maphash.Seed
	buf   []byte
	conns [maxCopies][]byte
}

func (m *model) newKeyMaker() *keyMaker {
	return &keyMaker{kinds: m.kinds, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (m *keyMaker) key(s *state) key {
	for i := range m.kinds {
		b := append(m.conns[i][:0], byte(m.kinds[i]))
		c := &s.conns[i]
		for r := range s.sides {
			k, e := &s.sides[r], &s.sides[r].copies[i]
			b = append(b, flags(e.up, e.never, e.asking, e.closed, e.admitted, e.opened, e.marked, e.dropped != nil),
				flags(k.isChosen(i), c.lost[r], c.said), byte(e.state), byte(e.sent), byte(e.framed), byte(e.left), byte(e.n))
			b = append(b, e.buf[:e.n]...)
			b = append(b, byte(len(c.sent[r])))
			b = append(b, c.sent[r]...)
		}
		m.conns[i] = b
	}
	conns := m.conns[:len(m.kinds)]
	slices.SortFunc(conns, bytes.Compare)
	b := append(m.buf[:0], s.faults)
	for r := range s.sides {
		k := &s.sides[r]
		b = append(b, flags(k.preamble != nil, k.direct, k.failed, k.cut, k.err != nil), byte(k.wrote), byte(len(k.out)), byte(len(k.in)))
		b = append(b, k.read...)
		b = append(b, 0)
	}
	for _, c := range conns {
		b = append(b, c...)
	}
	m.buf = b
	return key{maphash.Bytes(m.seeds[0], b), maphash.Bytes(m.seeds[1], b)}
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
		key
	}
	keys, first := m.newKeyMaker(), m.begin()
	way := []step{{from: -1, key: keys.key(first)}} // to each state, in the order of todo
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
	todo := []*state{first}
	seen := map[key]struct{}{way[0].key: {}}
	c := new(state)    // what an event leads to
	var spare []*state // those that were looked at, for others
	var events, timers []event
	for at = 0; at < len(todo); at++ {
		s := todo[at]
		todo[at], by = nil, nil
		here := way[at].key
		// try reports whether an event changes anything.
		try := func(e event, faults uint8) bool {
			by = &e
			s.copyTo(c)
			c.faults += faults
			e.do(m, c, e.side, e.conn)
			m.after(c, e.side)
			m.check(c)
			to := keys.key(c)
			if _, known := seen[to]; !known {
				seen[to] = struct{}{}
				way, todo = append(way, step{at, e, to}), append(todo, c)
				if n := len(spare); n > 0 {
					c, spare = spare[n-1], spare[:n-1]
				} else {
					c = new(state)
				}
			}
			return to != here
		}
		quiet := true
		events, timers = m.all(s, events[:0]), timers[:0]
		for _, e := range events {
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
		if by = nil; quiet {
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
		spare = append(spare, s)
	}
	return len(way), ends, ""
}
