package main

import (
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// Only the beginning and the end of a long punch are shown. The end has the successful handshake.
const (
	firstRows = 6
	lastRows  = 10
)

// timeline returns a line for each segment at the outer sides of both NATs, with the time since
// begin.
func timeline(segments []segment, begin time.Time) []string {
	var rows []string
	refusedAt := make(map[string]time.Time) // by site
	for _, s := range segments {
		if s.flags&natlab.RST != 0 && s.direction == natlab.Outbound && s.at.Equal(refusedAt[s.site]) {
			continue // the NAT's own answer, which is shown with the SYN
		}
		if s.fate == natlab.Answered {
			refusedAt[s.site] = s.at
		}
		ms := float64(s.at.Sub(begin)) / float64(time.Millisecond)
		if s.site == scene.AliceName {
			rows = append(rows, fmt.Sprintf("%8.1f   %s", ms, s))
		} else {
			rows = append(rows, fmt.Sprintf("%8.1f   %-*s%s", ms, columnWidth, "", s))
		}
	}
	if hidden := len(rows) - firstRows - lastRows; hidden > 1 {
		rest := rows[len(rows)-lastRows:]
		rows = append(rows[:firstRows:firstRows], fmt.Sprintf("%8s   %d more", "...", hidden))
		rows = append(rows, rest...)
	}
	return rows
}

// columnWidth is the width of a segment's longest description and a gap.
const columnWidth = 24

// String describes the segment and what happened to it, as in "SYN in, refused".
func (s segment) String() string {
	name := map[uint8]string{
		natlab.SYN:              "SYN",
		natlab.SYN | natlab.ACK: "SYN+ACK",
	}[s.flags]
	if name == "" {
		name = "RST"
	}
	way := " in"
	if s.direction == natlab.Outbound {
		way = " out"
	}
	fate := ""
	switch s.fate {
	case natlab.Answered:
		fate = ", refused"
	case natlab.Dropped:
		fate = ", dropped"
	case natlab.Lost:
		fate = ", lost"
	}
	return name + way + fate
}
