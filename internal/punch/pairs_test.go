package punch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

// TestPairs: before they are crossed no two pairs share a port, at either side.
func TestPairs(t *testing.T) {
	t.Parallel()
	for ours := 1; ours <= MaxPorts; ours++ {
		for theirs := 1; theirs <= MaxPorts; theirs++ {
			t.Run(fmt.Sprint(ours, " and ", theirs), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(testContext(t))
				defer cancel()
				var ports []*tcpport.Port
				for range ours {
					ports = append(ports, newSide(t).port)
				}
				var remote []Candidate
				for i := range theirs {
					remote = append(remote, Candidate{Kind: Reflexive, Addr: tcptest.Refusing(t), Port: i})
				}
				var mu sync.Mutex
				pairs, connects := make(map[tuple]bool), 0
				o := Open(ctx, Round{
					Ports:  ports,
					Remote: remote,
					Budget: newBudget(1 << 20),
					Trace: func(step Step, port uint16, to netip.AddrPort, _ error) {
						mu.Lock()
						defer mu.Unlock()
						if step == Connecting {
							pairs[tuple{port, to}] = true
							if connects++; connects >= 40 && len(pairs) >= min(ours, theirs) {
								cancel()
							}
						}
					},
					times: quick,
				})
				o.Wait()
				if len(pairs) != min(ours, theirs) {
					t.Errorf("connected %v, want %d pairs", pairs, min(ours, theirs))
				}
				for p := range pairs {
					for q := range pairs {
						if p != q && (p.port == q.port || p.remote == q.remote) {
							t.Errorf("%v and %v share a port", p, q)
						}
					}
				}
			})
		}
	}
}

// TestWait: what is known of a NAT holds for the addresses that it translates.
func TestWait(t *testing.T) {
	t.Parallel()
	at := func(kind Kind, addr string) Candidate {
		return Candidate{Kind: kind, Addr: netip.MustParseAddrPort(addr)}
	}
	v4, v6 := at(Reflexive, "46.0.0.1:4000"), at(Reflexive, "[2a00::1]:4000")
	toSecond := func(c Candidate) Candidate { c.Port = 1; return c }
	passive, late := Round{Passive: true}, Round{Late: true}
	const delay = 70 * time.Millisecond
	first, second := [MaxPorts]time.Duration{delay}, [MaxPorts]time.Duration{1: delay}
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
		"first port":                    {Round{Delay: second}, 0, v4, 0},
		"first port, delayed":           {Round{Delay: first}, 0, v4, delay},
		"first port, delayed and late":  {Round{Delay: first, Late: true}, 0, v4, delay + times.lateFirst},
		"first port, in IPv6":           {Round{Delay: first}, 0, v6, 0},
		"first port, passive":           {Round{Delay: first, Passive: true}, 0, v4, times.passive},
		"first port, crossed":           {Round{Delay: first}, 0, toSecond(v4), 0},
		"second port":                   {Round{Delay: second}, 1, toSecond(v4), delay},
		"second port, in IPv6":          {Round{DelayV6: second, Late: true}, 1, toSecond(v6), delay},
		"second port, IPv6 at once":     {Round{Delay: second}, 1, toSecond(v6), 0},
		"second port, crossed":          {Round{Delay: second}, 1, v4, 0},
		"second port, with CROSS":       {Round{Delay: second, AtCross: true}, 1, toSecond(v4), 0},
		"second port, late":             {Round{Delay: second, Late: true}, 1, toSecond(v4), times.lateSecond},
		"second port, later":            {Round{Delay: [MaxPorts]time.Duration{1: time.Second}, Late: true}, 1, toSecond(v4), time.Second},
		"second port, passive":          {Round{Delay: second, Passive: true}, 1, toSecond(v4), times.passive},
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
