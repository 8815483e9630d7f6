package punch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestPairs: both sides have the same pairs of ports, and no port has two.
func TestPairs(t *testing.T) {
	t.Parallel()
	for ours := 1; ours <= 3; ours++ {
		for theirs := 1; theirs <= 3; theirs++ {
			t.Run(fmt.Sprint(ours, " and ", theirs), func(t *testing.T) {
				t.Parallel()
				here, there := pairsOf(ours, theirs), pairsOf(theirs, ours)
				ports := make(map[int]bool)
				for _, p := range here {
					if ports[p[0]] {
						t.Errorf("port %d has two pairs: %v", p[0], here)
					}
					ports[p[0]] = true
				}
				for _, p := range here {
					if !slices.Contains(there, [2]int{p[1], p[0]}) {
						t.Errorf("%v is not among the other side's %v", p, there)
					}
				}
				if len(here) != len(there) || len(here) != min(ours, theirs) {
					t.Errorf("%v here, %v there; want %d pairs", here, there, min(ours, theirs))
				}
			})
		}
	}
}

// pairsOf returns the pairs of a side's ports with the other's.
func pairsOf(ours, theirs int) (pairs [][2]int) {
	for i := range ours {
		for j := range theirs {
			if paired(i, j) {
				pairs = append(pairs, [2]int{i, j})
			}
		}
	}
	return pairs
}

// TestWait: what is known of a NAT holds for the addresses that it translates.
func TestWait(t *testing.T) {
	t.Parallel()
	at := func(kind Kind, addr string) Candidate {
		return Candidate{Kind: kind, Addr: netip.MustParseAddrPort(addr)}
	}
	v4, v6 := at(Reflexive, "46.0.0.1:4000"), at(Reflexive, "[2a00::1]:4000")
	passive, late := Round{Passive: true}, Round{Late: true}
	times := defaultTimings
	for name, tc := range map[string]struct {
		round Round
		port  int
		to    Candidate
		want  time.Duration
	}{
		"usual":                         {Round{}, 0, v4, 0},
		"passive":                       {passive, 0, v4, times.passive},
		"passive, to a predicted port":  {passive, 0, at(Predicted, "46.0.0.1:4000"), times.passive},
		"passive, in IPv6":              {passive, 0, v6, 0},
		"passive, within the site":      {passive, 0, at(LAN, "10.0.0.2:4000"), 0},
		"late":                          {late, 0, v4, times.lateFirst},
		"late, within the site":         {late, 0, at(LAN, "10.0.0.2:4000"), 0},
		"late, from the second port":    {late, 1, v4, times.lateSecond},
		"late, in IPv6":                 {late, 0, v6, 0},
		"late, from the second in IPv6": {late, 1, v6, 0},
		"late and passive":              {Round{Late: true, Passive: true}, 1, v4, times.passive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &Opening{round: tc.round, times: times}
			if got := o.wait(tc.port, tc.to); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{100, 500}
	for _, want := range []time.Duration{100, 200, 400, 500, 500} {
		if got := b.pause(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestCrossDelay(t *testing.T) {
	t.Parallel()
	for rtt, want := range map[time.Duration]time.Duration{
		0:                      200 * time.Millisecond,
		100 * time.Millisecond: 200 * time.Millisecond,
		200 * time.Millisecond: 300 * time.Millisecond,
		time.Second:            time.Second,
	} {
		if got := CrossDelay(rtt); got != want {
			t.Errorf("with a round trip of %v over the relay: %v, want %v", rtt, got, want)
		}
	}
}

// TestQuiet: pairs are quiet before they are crossed for as long as the first refusal took, and an
// eighth.
func TestQuiet(t *testing.T) {
	t.Parallel()
	const took = time.Second
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	o := &Opening{failing: make(chan struct{}), refusing: make(chan struct{}), crossed: make([]*pair, 2)}
	lan, nat := &pair{port: new(tcpport.Port), to: Candidate{Kind: LAN}}, &pair{port: new(tcpport.Port), to: Candidate{Kind: Reflexive}}
	o.recordFailure(lan, took, refused)
	o.recordFailure(nat, took, context.DeadlineExceeded)
	if got := o.Quiet(); got != 0 {
		t.Errorf("%v, and nothing was refused on the way through NATs", got)
	}
	o.recordFailure(nat, took, refused)
	o.recordFailure(nat, 2*took, refused)
	if got := o.Quiet(); got != took+took/8 {
		t.Errorf("%v after refusals that took %v and more", got, took)
	}
	o.met = true
	if got := o.Quiet(); got != 0 {
		t.Errorf("%v, and a connection has come up", got)
	}
	o.met, o.crossed = false, nil
	if got := o.Quiet(); got != 0 {
		t.Errorf("%v, and no pair is to be crossed", got)
	}
}
