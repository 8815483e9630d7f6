package punch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSimultaneousOpenOnTheWire reads a simultaneous open of RFC 9293, section 3.5, from the tap:
// both SYNs cross, and both kernels answer SYN+ACK.
func TestSimultaneousOpenOnTheWire(t *testing.T) {
	t.Parallel()
	// A one-way delay of 400 ms leaves a loaded machine time enough to send both SYNs before either
	// arrives.
	const delay = 200 * time.Millisecond
	l := newLabPunch(t, [2]string{"eim-apdf", "eim-apdf"}, [2]bool{}, delay)
	r := l.punch(t, labStart{}, labStart{})
	l.wantPeers(t, r)
	for i := range r {
		seen := l.seen(i)
		for _, want := range []string{"out SYN", "in SYN", "out SYN+ACK", "in SYN+ACK"} {
			if count(seen, want) == 0 {
				t.Errorf("no %q at the %s: %s", want, l.sites[i].Name(), strings.Join(seen, ", "))
			}
		}
		if slices.Contains(r[i].Steps, Accepted) {
			t.Errorf("the %s's listener had a connection: %v", l.sites[i].Name(), r[i].Steps)
		}
	}
	// Crossing SYNs make the kernel measure an RTT that is too short, on one side at least, and BBR
	// is slow with it for 10 s. A machine that is busy makes it longer again, now and then.
	const rtt = 4 * delay
	sum := func() time.Duration { return r[0].MinRTT + r[1].MinRTT }
	for range 4 {
		if sum() <= rtt*3/2 {
			break
		}
		t.Logf("lowest RTTs add up to %v: once more", sum())
		l = newLabPunch(t, [2]string{"eim-apdf", "eim-apdf"}, [2]bool{}, delay)
		r = l.punch(t, labStart{}, labStart{})
	}
	if sum() > rtt*3/2 {
		t.Errorf("lowest RTTs add up to %v, want about %v: is the workaround still needed?", sum(), rtt)
	}
	for i := range r {
		if strings.HasPrefix(r[i].Congestion, "bbr") && r[i].MinRTT < rtt*3/8 {
			t.Errorf("the %s has %s with an RTT of %v, which is %v", l.sites[i].Name(), r[i].Congestion, r[i].MinRTT, rtt)
		}
	}
}

// TestLiarsCostNothing: each side has an attempt with a liar that names the other side's address,
// and has begun before. Where the SYNs cross, the first connection is the one all the same.
func TestLiarsCostNothing(t *testing.T) {
	t.Parallel()
	for name, liars := range map[string][2]bool{
		"at the initiator": {true, false},
		"at the responder": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLabPunch(t, [2]string{"eim-apdf", "eim-apdf"}, liars, 100*time.Millisecond)
			r := l.punch(t, labStart{}, labStart{})
			l.wantPeers(t, r)
			for i := range r {
				if slices.Contains(r[i].Steps, Dropped) {
					t.Errorf("steps of the %s: %v, want none dropped", l.sites[i].Name(), r[i].Steps)
				}
				if seen := l.seen(i); count(seen, "out RST") > 0 || count(seen, "out RST+ACK") > 0 {
					t.Errorf("the %s reset the connection: %s", l.sites[i].Name(), strings.Join(seen, ", "))
				}
			}
		})
	}
}

// TestEarlySYNIsAccepted: an EIF NAT lets the first SYN in before the other side connects. The
// listener has that connection, and the roles are as signalled.
func TestEarlySYNIsAccepted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		nats    [2]string
		accepts int
	}{
		"responder accepts":                        {[2]string{"eim-apdf", "eim-eif"}, 1},
		"initiator accepts":                        {[2]string{"eim-eif", "eim-apdf"}, 0},
		"responder accepts, with RST":              {[2]string{"eim-apdf-rst", "eim-eif-rst"}, 1},
		"initiator accepts, no NAT":                {[2]string{"public", "eim-apdf-rst"}, 0},
		"responder accepts from unpredicted ports": {[2]string{"apdm-apdf-random", "eim-eif"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLabPunch(t, tc.nats, [2]bool{}, 20*time.Millisecond)
			r := l.punch(t, labStart{Late: tc.accepts == 0}, labStart{Late: tc.accepts == 1})
			steps := r[tc.accepts].Steps
			if !slices.Contains(steps, Accepted) {
				t.Errorf("steps of the one who accepts: %v, want accepted among them", steps)
			}
			if strings.Contains(name, "unpredicted") {
				// It comes from a port that is no candidate.
				if got, told := r[1].Remote, l.told[0].Mapped; got.Addr() != told.Addr() || got == told {
					t.Errorf("the responder is connected to %s, want another port of %s", got, told.Addr())
				}
				return
			}
			l.wantPeers(t, r)
			if n := count(l.seen(tc.accepts), "out SYN"); n != 0 {
				t.Errorf("it sent %d SYNs", n)
			}
		})
	}
}

// TestRefusedConnectRetriesFromSamePort: NATs that answer an unsolicited SYN with RST refuse each
// peer until the other's SYN went out, and some forget the mapping on that RST.
func TestRefusedConnectRetriesFromSamePort(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf-rst", "eim-apdf-rst-rstkills", "eim-adf-rst", "eim-apdf-icmp", "kernel-rst", "kernel-accept"} {
		for _, skew := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond} {
			t.Run(fmt.Sprint(nat, "/", skew), func(t *testing.T) {
				t.Parallel()
				l := newLabPunch(t, [2]string{nat, nat}, [2]bool{}, 20*time.Millisecond)
				r := l.punch(t, labStart{Delay: skew}, labStart{})
				l.wantPeers(t, r)
				// All of the responder's SYNs have the mapped source port, and are more than one
				// where it was refused, unless the initiator's came before the second.
				seen := l.seen(1)
				syns := count(seen, "out SYN")
				if from := l.otherSources(1); len(from) > 0 {
					t.Errorf("the responder connects from %v as well", from)
				}
				steps := r[1].Steps
				if slices.Contains(steps, ConnectFailed) && !slices.Contains(steps, Accepted) && syns < 2 {
					t.Errorf("%d SYNs of the responder, want it to connect again: %s", syns, strings.Join(seen, ", "))
				}
			})
		}
	}
}

// TestRefusedByKernel: the kernels of two routers refuse a SYN that does not cross the other one,
// and forget the connection with that. Two SYNs cross all the same while repeats are quick,
// whatever the round trip and whoever begins first.
func TestRefusedByKernel(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"kernel-rst", "kernel-accept"} {
		for _, tc := range []struct{ rtt, skew time.Duration }{
			{4 * time.Millisecond, 0}, {4 * time.Millisecond, 30 * time.Millisecond},
			{20 * time.Millisecond, 0}, {20 * time.Millisecond, 150 * time.Millisecond},
			{300 * time.Millisecond, 30 * time.Millisecond}, {300 * time.Millisecond, 150 * time.Millisecond},
		} {
			t.Run(fmt.Sprint(nat, "/", tc.rtt, "/", tc.skew), func(t *testing.T) {
				t.Parallel()
				l := newLabPunch(t, [2]string{nat, nat}, [2]bool{}, tc.rtt/4)
				r := l.punch(t, labStart{Delay: tc.skew}, labStart{})
				l.wantPeers(t, r)
				for i := range r {
					connects := 0
					for _, s := range r[i].Steps {
						if s == Connecting {
							connects++
						}
					}
					if t.Logf("%d connects of the %s", connects, l.sites[i].Name()); connects > quickRepeats {
						t.Errorf("%d connects of the %s, want %d at most", connects, l.sites[i].Name(), quickRepeats)
					}
				}
			})
		}
	}
}
