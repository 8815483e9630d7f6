package natlab

import (
	"slices"
	"time"
)

// emit tells the taps of a packet.
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

func (s *Site) tapped() bool { return len(s.taps) > 0 || len(s.lab.taps) > 0 }

// observed keeps a packet as it is before translation, if anybody wants to see it.
func (s *Site) observed(pkt []byte) []byte {
	if !s.tapped() {
		return nil
	}
	return slices.Clone(pkt)
}
