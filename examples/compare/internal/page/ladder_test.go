package page

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

var behindNATs = [4]string{"10.2.0.1", "46.0.2.1", "46.0.3.1", "10.3.0.1"}

// checkLabels checks that no label lies on another or on a break, and none beyond the picture.
func checkLabels(t *testing.T, l ladder) {
	t.Helper()
	var boxes []box
	for _, b := range l.Breaks {
		boxes = append(boxes, upright(0, float64(b.Top), ladderWidth, float64(b.Bottom)))
	}
	for _, t := range l.Labels {
		boxes = append(boxes, t.box())
	}
	for i, b := range boxes {
		if !b.within(0, float64(l.Height)) {
			t.Errorf("beyond the picture of %v: %+v", l.Height, l.Labels[i-len(l.Breaks)])
		}
		for k, c := range boxes[:i] {
			if b.overlaps(c) {
				other := "a break"
				if k >= len(l.Breaks) {
					other = fmt.Sprintf("%+v", l.Labels[k-len(l.Breaks)])
				}
				t.Errorf("%+v lies on %s", l.Labels[i-len(l.Breaks)], other)
			}
		}
	}
}

// raced makes a punch of two pairs of ports at once: the second comes up a little later.
func raced() (journeys []*journey) {
	first := crossing(100)
	for _, j := range first {
		other := *j
		other.src = netip.AddrPortFrom(j.src.Addr(), j.src.Port()+7)
		other.left, other.arrived = j.left.Add(time.Millisecond), j.arrived.Add(time.Millisecond)
		journeys = append(journeys, j, &other)
	}
	slices.SortStableFunc(journeys, func(x, y *journey) int { return x.left.Compare(y.left) })
	return journeys
}

// Of two connections the one that the punch made is drawn in full, and the other faintly.
func TestFaded(t *testing.T) {
	s := tell(raced())
	l := drawLadder(s, behindNATs)
	full, faded := 0, 0
	for i, a := range l.Arrows {
		is := strings.Contains(a.Class, " faded")
		if is != (s.shown[i].flow() != s.winner) {
			t.Errorf("faded %v: %s", is, a.Title)
		}
		if is {
			faded++
		} else {
			full++
		}
	}
	if full == 0 || faded == 0 {
		t.Errorf("%d arrows in full, and %d faded", full, faded)
	}
	for _, j := range tell(refused(3)).shown {
		if tell(refused(3)).faded(j) {
			t.Error("a connection is faded where none is open")
		}
	}
	checkLabels(t, l)
}

// The relayed and the direct connection of each peer are marked when they were up.
func TestMarks(t *testing.T) {
	words := func(l ladder) (all []string) {
		for _, t := range l.Labels {
			if strings.HasPrefix(t.Class, "mark") {
				all = append(all, t.Text)
			}
		}
		return all
	}
	s := tell(crossing(100))
	s.mark(result.Run{OK: true, Millis: 340, ListenerMillis: 300}, begin)
	l := drawLadder(s, behindNATs)
	if got, want := words(l), []string{markRelayed, markDirect, markDirect}; !slices.Equal(got, want) || len(l.Dots) != len(want) {
		t.Errorf("marks %q, want %q", got, want)
	}
	if l.Labels[0].Text != "0.0" {
		t.Errorf("the clock begins at %s", l.Labels[0].Text)
	}
	if len(l.Breaks) == 0 || !strings.Contains(l.Breaks[0].Text, "100 ms for signalling through the relay") {
		t.Errorf("breaks %+v", l.Breaks)
	}
	checkLabels(t, l)

	s = tell(refused(3))
	s.mark(result.Run{Millis: 5000}, begin)
	if got, want := words(drawLadder(s, behindNATs)), []string{markRelayed, markGivenUp}; !slices.Equal(got, want) {
		t.Errorf("marks %q, want %q", got, want)
	}
}

// Labels never overlap; those of the resulting connection are all there where they have room.
func TestLabelsKeepApart(t *testing.T) {
	for _, journeys := range [][]*journey{crossing(0), refused(3), append(refused(20), crossing(2000)...)} {
		l := drawLadder(tell(journeys), behindNATs)
		checkLabels(t, l)
		kinds := 0
		for _, t := range l.Labels {
			if strings.HasPrefix(t.Class, "kind") {
				kinds++
			}
		}
		if kinds != len(l.Arrows) {
			t.Errorf("%d labels of %d arrows", kinds, len(l.Arrows))
		}
	}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := tell(anything(rng))
		if len(s.shown) == 0 {
			continue
		}
		s.mark(result.Run{OK: seed%2 == 0, Millis: 500 * rng.Float64(), ListenerMillis: 500 * rng.Float64()}, begin.Add(-100*time.Millisecond))
		checkLabels(t, drawLadder(s, behindNATs))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// anything makes a punch in which everything may happen, at once and for long.
func anything(rng *rand.Rand) (journeys []*journey) {
	kinds := []kind{kindSYN, kindSYN, kindSYN, kindSYNACK, kindRST, kindICMP, kindACK, kindData, kindUDP}
	fates := []natlab.Fate{natlab.Forwarded, natlab.Forwarded, natlab.Forwarded, natlab.Lost, natlab.Answered, natlab.Dropped}
	within := 1 + rng.IntN(1000)
	for range 1 + rng.IntN(30) {
		j := sent(side(rng.IntN(2)), kinds[rng.IntN(len(kinds))], rng.IntN(within), fates[rng.IntN(len(fates))])
		j.arrived = j.left.Add(time.Duration(1+rng.IntN(80)) * time.Millisecond)
		from := j.sender()
		ports := []uint16{40000, 40001}
		j.src = netip.AddrPortFrom(j.src.Addr(), ports[rng.IntN(2)])
		j.innerSrc = netip.AddrPortFrom(j.src.Addr(), ports[rng.IntN(2)])
		switch j.fate {
		case natlab.Forwarded:
			j.innerDst = netip.AddrPortFrom(j.dst.Addr(), ports[rng.IntN(2)])
		case natlab.Lost:
			j.lostLeaving = rng.IntN(2) == 0
		case natlab.Dropped:
			if rng.IntN(2) == 0 { // by its own NAT
				j.to, j.arrived = from.nat(), j.left
			}
		}
		if j.lostLeaving {
			j.to, j.arrived = from.nat(), j.left
		}
		journeys = append(journeys, j)
	}
	slices.SortStableFunc(journeys, func(x, y *journey) int { return x.left.Compare(y.left) })
	return journeys
}
