package natlab

import (
	"container/heap"
	"os"
	"sync"
	"time"
)

// A path is a direction between two sites that are joined by a wire.
type path struct{ from, to *Site }

// A wire holds the packets on the way, and delivers them when they are due, from one goroutine.
// Only that goroutine writes to hosts and routers. It does so without the lab's mutex, so that a
// host's packets stay in order and no goroutine waits for a host.
type wire struct {
	mu *sync.Mutex // the lab's; it guards the fields down to out

	transits transits
	sequence uint64
	last     map[path]time.Time // when the last packet of a path arrives
	out      []delivery
	closed   bool

	wake chan struct{} // there is something earlier to do
	done chan struct{} // closed when the goroutine has ended
}

// A delivery is a packet that is written to a TUN device now.
type delivery struct {
	to  *os.File
	pkt []byte
}

func newWire(mu *sync.Mutex) *wire {
	w := &wire{
		mu:   mu,
		last: make(map[path]time.Time),
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	go w.run()
	return w
}

// send arranges for arrive to be called after the delay, with the mutex held, and not before
// earlier calls for the same path.
func (w *wire) send(p path, now time.Time, delay time.Duration, arrive func(now time.Time)) {
	due := now.Add(delay)
	if last := w.last[p]; due.Before(last) {
		due = last
	}
	w.last[p] = due
	w.sequence++
	heap.Push(&w.transits, transit{due, w.sequence, arrive})
	if w.transits[0].sequence == w.sequence {
		w.nudge()
	}
}

// deliver writes a packet to the TUN device of a host or a router.
func (w *wire) deliver(to *os.File, pkt []byte) {
	w.out = append(w.out, delivery{to, pkt})
	w.nudge()
}

func (w *wire) nudge() {
	select {
	case w.wake <- struct{}{}:
	default: // already reported
	}
}

func (w *wire) run() {
	defer close(w.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		out, next, open := w.step()
		for _, d := range out {
			_, _ = d.to.Write(d.pkt) // an error means that it is closing
		}
		if !open {
			return
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-due:
		case <-w.wake:
		}
	}
}

// step handles what is due. It returns what to write, and when to call step again; zero if the wire
// is empty.
func (w *wire) step() (out []delivery, next time.Time, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for len(w.transits) > 0 && !w.transits[0].due.After(now) {
		heap.Pop(&w.transits).(transit).arrive(now)
	}
	if len(w.transits) > 0 {
		next = w.transits[0].due
	}
	out, w.out = w.out, nil
	return out, next, !w.closed
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.transits = nil
	w.nudge()
	w.mu.Unlock()
	<-w.done
}

// A transit is a packet on the way.
type transit struct {
	due      time.Time
	sequence uint64 // keeps the order of those due at the same time
	arrive   func(now time.Time)
}

// transits is a heap of them, the first due on top.
type transits []transit

func (t transits) Len() int { return len(t) }

func (t transits) Less(i, j int) bool {
	if t[i].due.Equal(t[j].due) {
		return t[i].sequence < t[j].sequence
	}
	return t[i].due.Before(t[j].due)
}

func (t transits) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

func (t *transits) Push(x any) { *t = append(*t, x.(transit)) }

func (t *transits) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = transit{}
	*t = old[:len(old)-1]
	return last
}
