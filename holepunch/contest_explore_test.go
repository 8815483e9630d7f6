package holepunch

import (
	"slices"
	"strings"
)

// key is the same for states from which the same can follow: connections of the same kind have no names.
func (m *model) key(s *state) (key [maxLines + 1]uint64) {
	for i, kind := range m.lines {
		l := &s.lines[i]
		var bits uint64
		put := func(v int) { bits = bits<<4 | uint64(v) }
		flag := func(b bool) {
			bits <<= 1
			if b {
				bits |= 1
			}
		}
		for side, k := range []*contest{&s.k[0], &s.k[1]} {
			c := m.conns[side][i]
			put(int(l.end[side]))
			put(slices.Index(k.queue, c) + 1)
			put(slices.Index(k.asking, c) + 1)
			flag(k.chosen == c)
			flag(kind.anyPort[side])
			flag(l.heard[side] && l.end[side] != closed)
		}
		for _, b := range l.said[1:] {
			flag(b)
		}
		flag(l.dead)
		flag(kind.stranger)
		put(int(kind.at))
		key[i] = bits
	}
	slices.Sort(key[:maxLines])
	bits := uint64(s.faults)
	for side := range s.k {
		k := &s.k[side]
		bits = bits<<4 | uint64(k.failures)
		for _, b := range []bool{k.impatient, k.windowOver, k.won, k.over, s.ended[side], s.cut[side], s.timeouts[side]} {
			bits <<= 1
			if b {
				bits |= 1
			}
		}
	}
	key[maxLines] = bits
	return key
}

// explore visits every state that can be reached, the nearest first. It returns how many there are, how
// many are an end, and what is wrong with the first that must not be, with the shortest way to it; or "".
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
			for ; way[at].from >= 0; at = way[at].from {
				steps = slices.Insert(steps, 1, way[at].String())
			}
			states, wrong = len(way), strings.Join(steps, "\n\t")
		default:
			panic(v)
		}
	}()
	m.causes = make(map[string]bool)
	first := m.begin()
	todo := []*state{first}
	seen := map[[maxLines + 1]uint64]bool{m.key(first): true}
	for at = 0; at < len(todo); at++ {
		s := todo[at]
		todo[at], by = nil, nil
		es, quiet := m.next(s)
		if quiet {
			ends++
			m.checkEnd(s)
		}
		for _, e := range es {
			by = &e
			c := s.clone()
			if e.rare != "" && c.faults <= m.most {
				c.faults++
			}
			e.do(m, c, e.side, e.line)
			m.check(c)
			if key := m.key(c); !seen[key] {
				seen[key] = true
				way, todo = append(way, step{at, e}), append(todo, c)
			}
		}
	}
	return len(way), ends, ""
}
