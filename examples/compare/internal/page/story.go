package page

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A ladder shows how a long punch begins and how it ends, and always the packets of the resulting
// connection.
const (
	firstShown = 8
	lastShown  = 10
)

// A story is what a ladder shows of a punch.
type story struct {
	shown        []*journey
	hidden       map[int][]*journey // by the index in shown that they come before
	after        int                // packets left out because the connection was open
	open         bool               // it made a connection
	simultaneous bool               // from both sides (RFC 9293, section 3.5)
	opener       side               // otherwise, whose packet was the first to be let in
	winner       flow               // the resulting connection, if it is open
	zero         time.Time          // of its clock
	marks        []mark
}

// faded reports whether a journey is of a connection that did not come up, where another is open.
func (s story) faded(j *journey) bool { return s.open && j.flow() != s.winner }

// A flow is a connection, seen from between the NATs.
type flow struct {
	udp  bool
	a, b netip.AddrPort
}

func (j *journey) flow() flow {
	f := flow{j.kind == kindUDP, j.src, j.dst}
	if j.sender() == sideB {
		f.a, f.b = f.b, f.a
	}
	return f
}

// tell chooses what to show of the journeys, which are in order of departure.
func tell(journeys []*journey) story {
	var s story
	winner, end := firstInUse(journeys)
	s.open, s.winner = !end.IsZero(), winner
	if len(journeys) > 0 {
		s.zero = journeys[0].left
	}
	s.simultaneous = s.open && simultaneous(journeys, winner)
	for _, j := range journeys {
		if j.flow() == winner && j.came() && (j.kind == kindSYN || j.kind == kindUDP) {
			s.opener = j.sender()
			break
		}
	}

	type once struct {
		flow flow
		from side
		kind kind
	}
	seen := make(map[once]bool)
	var kept []*journey
	for _, j := range journeys {
		first := once{j.flow(), j.sender(), j.kind}
		switch {
		case s.open && j.left.After(end):
			s.after++
			continue
		case !j.kind.opens() && seen[first]:
			s.after++
			continue
		}
		seen[first] = j.came() || j.kind == kindACK
		kept = append(kept, j)
	}
	s.shorten(kept)
	return s
}

// firstInUse finds the connection over which bytes came both ways before any other, and when they
// had.
func firstInUse(journeys []*journey) (winner flow, end time.Time) {
	came := make(map[flow]*[2]time.Time)
	for _, j := range journeys {
		if j.payload == 0 || !j.came() {
			continue
		}
		at := came[j.flow()]
		if at == nil {
			at = new([2]time.Time)
			came[j.flow()] = at
		}
		if at[j.sender()].IsZero() {
			at[j.sender()] = j.arrived
		}
	}
	for f, at := range came {
		if at[sideA].IsZero() || at[sideB].IsZero() {
			continue
		}
		both := slices.MaxFunc(at[:], time.Time.Compare)
		if end.IsZero() || both.Before(end) {
			winner, end = f, both
		}
	}
	return winner, end
}

// simultaneous reports whether both ends of a connection have answered the other's SYN with
// SYN+ACK. One that had accepted would not have sent a SYN from there; one that was accepted would
// have sent an ACK.
func simultaneous(journeys []*journey, f flow) bool {
	for _, s := range []side{sideA, sideB} {
		syn := slices.IndexFunc(journeys, func(j *journey) bool {
			return j.flow() == f && j.sender() == s && j.kind == kindSYN && j.came()
		})
		answer := slices.IndexFunc(journeys, func(j *journey) bool {
			return j.flow() == f && j.sender() == s && j.kind == kindSYNACK
		})
		if syn < 0 || answer < 0 {
			return false
		}
	}
	return true
}

// shorten leaves out the middle of a long story.
func (s *story) shorten(kept []*journey) {
	s.hidden = make(map[int][]*journey)
	opened := func(j *journey) bool {
		return s.open && j.flow() == s.winner && (j.came() && j.kind != kindRST || j.kind == kindSYNACK)
	}
	answers := func(j *journey) bool { return j.from == natA || j.from == natB }
	for i := 0; i < len(kept); {
		middle := i
		for middle < len(kept) && !opened(kept[middle]) &&
			(i >= firstShown && middle < len(kept)-lastShown || middle > i && answers(kept[middle])) {
			middle++
		}
		// Two take as much room as to say that they are not there. What a NAT answers stays with
		// what it answers.
		if middle-i > 2 && !answers(kept[i]) {
			s.hidden[len(s.shown)] = kept[i:middle]
			i = middle
			continue
		}
		s.shown = append(s.shown, kept[i])
		i++
	}
}

// tally sums up what is hidden, as in "31 more: 16 SYN refused, 15 RST".
func tally(hidden []*journey) string {
	counts := make(map[string]int)
	for _, j := range hidden {
		name := string(j.kind)
		if f := fateWord(j); f != "" {
			name += " " + f
		}
		counts[name]++
	}
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", counts[name], name)
	}
	return fmt.Sprintf("%d more: %s", len(hidden), strings.Join(names, ", "))
}

// fateWord returns the fate of a packet that did not arrive.
func fateWord(j *journey) string {
	switch {
	case j.flying:
		return "under way"
	case j.fate == natlab.Answered:
		return "refused"
	case j.fate == natlab.Dropped:
		return "dropped"
	case j.fate == natlab.Lost:
		return "lost"
	}
	return ""
}
