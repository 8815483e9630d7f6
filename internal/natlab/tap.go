package natlab

import (
	"slices"
	"time"
)

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
	for _, f := range s.lab.taps {
		f(e)
	}
	for _, f := range s.taps {
		f(e)
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
