package gather

import (
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// awaitLate waits until a packet of an observer comes to the home's NAT after a time in which
// nothing need be sent, and wants it to be let in.
func (l *gatherLab) awaitLate(t *testing.T, silence time.Duration) {
	t.Helper()
	late := make(chan natlab.Event, 1)
	since := time.Now().Add(silence)
	l.home.Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err != nil || e.Place != natlab.Outside || e.Direction != natlab.Inbound || !slices.Contains(l.servers, p.Src()) || e.Time.Before(since) {
			return
		}
		select {
		case late <- e:
		default:
		}
	})
	select {
	case e := <-late:
		if e.Fate != natlab.Forwarded {
			t.Errorf("after %v: %v", silence, e)
		}
	case <-testContext(t).Done():
		t.Fatal("nothing was sent to keep the connections alive")
	}
}

// wantKnown wants the host to know what it knew before, without having asked for it.
func (l *gatherLab) wantKnown(t *testing.T, before gathered) {
	t.Helper()
	if after := l.do(t, command{Do: "gather"}); !slices.Equal(after.Addrs, before.Addrs) || after.Asked != before.Asked {
		t.Errorf("knows %v, and knew %v", after, before)
	}
}

// awaitAsked waits until an observer has been asked n times.
func (l *gatherLab) awaitAsked(t *testing.T, n int32) (known gathered) {
	t.Helper()
	for known.Asked < n { // nobody tells
		time.Sleep(10 * time.Millisecond)
		known = l.do(t, command{Do: "gather"})
	}
	return known
}

// all is how many observers the host's ports ask: the first one both, and the second one of them.
const all = 3

// TestKeepAlive: a NAT that forgets an idle connection soon is reminded of it.
func TestKeepAlive(t *testing.T) {
	t.Parallel() // it waits, for the most part
	forgets := quickTimings.keepAlive + 2*time.Second
	l := newGatherLab(t, labConfig{nat: "eim-apdf", forgets: forgets, quick: true})
	known := l.awaitAsked(t, all)
	l.awaitLate(t, forgets)
	l.wantKnown(t, known)
}

// TestForgetfulNAT: a NAT that forgets an idle connection sooner than keep-alives are sent, and
// then gives it another port. The host notices, and from then on its addresses stay as they are.
func TestForgetfulNAT(t *testing.T) {
	t.Parallel() // it waits, for the most part
	// Keep-alives are sent after 3 s, and then after one.
	const forgets = 2500 * time.Millisecond
	var l *gatherLab
	before := gathered{Asked: 2 * all}
	for before.Asked > all { // on a slow machine the NAT may forget before the host's first answer
		l = newGatherLab(t, labConfig{nat: "eim-apdf-random", forgets: forgets, quick: true})
		before = l.awaitAsked(t, all)
	}
	known, ctx := l.awaitAsked(t, 2*all), testContext(t)
	for slices.Equal(known.Addrs, before.Addrs) { // on a slow machine an observer may have been late
		if ctx.Err() != nil {
			t.Fatalf("still at %v", known.Addrs)
		}
		time.Sleep(10 * time.Millisecond)
		known = l.do(t, command{Do: "gather"})
	}
	l.awaitLate(t, 2*forgets) // by then the NAT would have forgotten again, and the host asked
	l.wantKnown(t, known)
	if seen := l.do(t, command{Do: "connect", To: l.servers[2]}); !slices.Contains(seen.Addrs, seen.Seen) {
		t.Errorf("a peer sees %v, the candidates are %v", seen.Seen, seen.Addrs)
	}
}

// TestSuspended: the process stands still while the NAT forgets everything. What the host names
// next is true.
func TestSuspended(t *testing.T) {
	t.Parallel() // it waits, for the most part
	l := newGatherLab(t, labConfig{nat: "eim-apdf-random", quick: true})
	before := l.awaitAsked(t, all)
	l.home.ResetNAT()
	if err := l.proc.Hold(quickTimings.networkCheck + quickTimings.keepAlive + time.Second); err != nil {
		t.Fatal(err)
	}
	after := l.do(t, command{Do: "connect", To: l.servers[2]})
	if !slices.Contains(after.Addrs, after.Seen) || slices.Contains(before.Addrs, after.Seen) {
		t.Errorf("a peer sees %v, the candidates are %v; before they were %v", after.Seen, after.Addrs, before.Addrs)
	}
}
