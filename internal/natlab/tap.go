package natlab

import (
	"slices"
	"time"
)

// A tap is a function that is called for events, with the lab's lock held.
type tap struct{ f func(Event) }

// Tap calls f for each packet at each site's NAT, in order, one at a time. The network waits
// meanwhile: f must not block, and must not call the lab's methods. On a bridge the network does
// not wait, and the events of different links may be out of order; their times are the kernel's.
//
// Calling stop ends the calls, between two packets: f gets both events of a packet that passes a
// NAT, or none, except on a bridge and where the NAT is a kernel's.
func (l *Lab) Tap(f func(Event)) (stop func()) {
	stop = l.addTap(&l.taps, f)
	l.mu.Lock()
	sites := slices.Clone(l.sites)
	l.mu.Unlock()
	if l.bridge != nil {
		for _, s := range sites {
			s.watchLinks()
		}
	}
	return stop
}

// Tap is [Lab.Tap] for one site.
func (s *Site) Tap(f func(Event)) (stop func()) {
	stop = s.lab.addTap(&s.taps, f)
	if s.bridged() {
		s.watchLinks()
	}
	return stop
}

// addTap adds a tap to a list of the lab or of a site.
func (l *Lab) addTap(taps *[]*tap, f func(Event)) (stop func()) {
	t := &tap{f}
	l.mu.Lock()
	defer l.mu.Unlock()
	*taps = append(*taps, t)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*taps = slices.DeleteFunc(*taps, func(other *tap) bool { return other == t })
	}
}

// emit passes a packet to the taps.
func (s *Site) emit(now time.Time, place Place, d Direction, v Verdict, pkt []byte) {
	if !s.tapped() {
		return
	}
	e := Event{
		Time:      now,
		Site:      s,
		Place:     place,
		Direction: d,
		Fate:      v.Fate,
		Reason:    v.Reason,
		Packet:    slices.Clone(pkt), // pkt goes on, and is translated in place
	}
	for _, t := range s.lab.taps {
		t.f(e)
	}
	for _, t := range s.taps {
		t.f(e)
	}
}

// tappedByLab reports whether there are taps for all sites.
func (s *Site) tappedByLab() bool {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	return len(s.lab.taps) > 0
}

func (s *Site) tapped() bool { return len(s.taps) > 0 || len(s.lab.taps) > 0 }

// observed returns a copy of a packet before translation, or nil if there are no taps.
func (s *Site) observed(pkt []byte) []byte {
	if !s.tapped() {
		return nil
	}
	return slices.Clone(pkt)
}
