package page

import (
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// of selects a side's packets of a kind.
func of(journeys []*journey, s side, k kind) (some []*journey) {
	for _, j := range journeys {
		if j.sender() == s && j.kind == k {
			some = append(some, j)
		}
	}
	return some
}

// The pairs of a real capture: every packet begins and ends at the right one of the four stations,
// and takes the time that the lab's links take.
func TestPairSimultaneousOpen(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf", "eim-apdf-rst", "eim-apdf-icmp", "public"} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			p := capture(t, punchConfig{a: nat, b: nat})
			journeys := pair(p.A, p.B, p.Events)
			const oneWay = 40 * time.Millisecond
			for _, j := range journeys {
				if j.crossed() && (j.arrived.Sub(j.left) < oneWay || j.arrived.Sub(j.left) > time.Second) {
					t.Errorf("%v took %v", describe(j, j.left), j.arrived.Sub(j.left))
				}
				if j.from != j.sender().peer() && j.kind != kindRST && j.kind != kindICMP {
					t.Errorf("a NAT made a packet: %s", describe(j, j.left))
				}
				if j.came() && (j.innerDst.Port() == 0 || j.from == j.sender().peer() && !j.innerSrc.IsValid()) {
					t.Errorf("no ports inside: %+v", j)
				}
			}
			// Every event is one of a journey's: at the peer, and on both sides of each NAT.
			events := 0
			for _, j := range journeys {
				events += span(j)
			}
			if events != len(p.Events) {
				t.Errorf("%d events in journeys, want %d", events, len(p.Events))
			}
			answers := 0
			for _, s := range []side{sideA, sideB} {
				for _, j := range append(of(journeys, s, kindRST), of(journeys, s, kindICMP)...) {
					if j.from == s.nat() {
						answers++
					}
				}
			}
			refused := 0
			for _, j := range journeys {
				if j.fate == natlab.Answered {
					refused++
				}
			}
			if answers != refused {
				t.Errorf("%d SYNs refused, %d answers of NATs", refused, answers)
			}
			if s := tell(journeys); !s.open || nat != "public" && !s.simultaneous {
				t.Errorf("open %v, simultaneous %v", s.open, s.simultaneous)
			}
		})
	}
}

// span returns how many events a journey is made of.
func span(j *journey) int {
	n := 1 // outside its NAT
	if j.from == j.sender().peer() {
		n++
	}
	if j.crossed() {
		n++
		if j.to == (1 - j.sender()).peer() {
			n++
		}
	}
	if j.to == j.sender().nat() && !j.lostLeaving && !j.flying && j.fate != natlab.Forwarded {
		n-- // its own NAT has dropped it
	}
	return n
}

func TestPairLoss(t *testing.T) {
	t.Parallel()
	p := capture(t, punchConfig{a: "eim-apdf", b: "eim-apdf", losses: 2})
	journeys := pair(p.A, p.B, p.Events)
	for _, e := range p.Events {
		if e.Fate != natlab.Lost {
			continue
		}
		i := slices.IndexFunc(journeys, func(j *journey) bool {
			return j.fate == natlab.Lost && j.arrived.Equal(e.Time)
		})
		if i < 0 {
			t.Errorf("no journey ends with %v", e)
		} else if j := journeys[i]; j.came() || j.lostLeaving != (e.Direction == natlab.Outbound) {
			t.Errorf("%v: %s", e, describe(j, j.left))
		}
	}
}
