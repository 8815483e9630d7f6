package holepunch

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestPairs: both sides have the same pairs of ports, and each port has one at least.
func TestPairs(t *testing.T) {
	for ours := 1; ours <= 3; ours++ {
		for theirs := 1; theirs <= 3; theirs++ {
			t.Run(fmt.Sprint(ours, " and ", theirs), func(t *testing.T) {
				here, there := pairs(ours, theirs), pairs(theirs, ours)
				for i := range ours {
					if !slices.ContainsFunc(here, func(p [2]int) bool { return p[0] == i }) {
						t.Errorf("port %d connects nowhere: %v", i, here)
					}
				}
				for _, p := range here {
					if !slices.Contains(there, [2]int{p[1], p[0]}) {
						t.Errorf("%v is not among the other side's %v", p, there)
					}
				}
				if len(here) != len(there) || len(here) != max(ours, theirs) {
					t.Errorf("%v here, %v there; want %d pairs", here, there, max(ours, theirs))
				}
			})
		}
	}
}

// TestRefusedPairsAreNotCrossed: where NATs answer with RST no SYN is lost, and a crossed one may do harm.
func TestRefusedPairsAreNotCrossed(t *testing.T) {
	var p Punch
	for i := range MaxLocals {
		here, there := newSide(t), newSide(t)
		there.port.Close() // refuses
		here.expect.From(nil)
		p.Locals = append(p.Locals, Local{here.port, here.expect})
		p.Remote = append(p.Remote, Candidate{Kind: pb.Candidate_REFLEXIVE, Addr: there.addr, Local: i})
	}
	p.Window = 5 * crossWait
	var mu sync.Mutex
	var paired, crossed int
	p.Trace = func(e Event) {
		if e.Kind != Connecting {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		i := slices.IndexFunc(p.Locals, func(l Local) bool { return l.Port.Number() == e.Local })
		if e.Remote == p.Remote[i].Addr {
			paired++
		} else {
			crossed++
		}
	}
	if _, err := Open(t.Context(), p, shakeInitiator); !errors.Is(err, ErrNoConnection) {
		t.Fatal(err)
	}
	if crossed > 0 || paired == 0 {
		t.Errorf("%d connects between pairs, and %d between others", paired, crossed)
	}
}

// pairs are those of a side's ports with the other's.
func pairs(ours, theirs int) (pairs [][2]int) {
	p := &punch[*Conn]{}
	for range ours {
		p.Locals = append(p.Locals, Local{Port: new(tcpport.Port)})
	}
	for j := range theirs {
		p.Remote = append(p.Remote, Candidate{Kind: pb.Candidate_REFLEXIVE, Local: j})
	}
	for i := range p.Locals {
		for _, c := range p.Remote {
			if p.paired(i, c.Local) {
				pairs = append(pairs, [2]int{i, c.Local})
			}
		}
	}
	return pairs
}
