package punch

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

const (
	// maxWaiting bounds the connections that have not shown a token yet. With many attempts under
	// way the bound is maxWaitingPerAttempt for each, since a peer makes one or two connections
	// from each of its two ports. A peer's connection waits for one round trip at the most. To
	// evict it, a stranger has to make as many connections within each round trip, from the peer's
	// address.
	maxWaiting           = 64
	maxWaitingPerAttempt = 4
)

// tokenTimeout is how long an accepted connection may take to show its token. A peer writes it as
// soon as its connect has succeeded, or half a second later where another attempt of its wants the
// same 4-tuple: 5 s is time for TCP to repeat it four times.
const tokenTimeout = 5 * time.Second

// waiting holds the connections that have not shown a token yet, in the order of their coming. The
// zero value holds none.
type waiting struct {
	conns []waitingConn
	count map[netip.Prefix]int // of those from each customer's addresses
}

type waitingConn struct {
	*net.TCPConn
	from netip.Prefix
}

// add adds a connection. If there are more than most then, it removes and returns the one that has
// waited longest from the customer that most are from: a stranger with many connections makes way
// for itself.
func (w *waiting) add(c *net.TCPConn, from netip.Addr, most int) (crowded *net.TCPConn) {
	if w.count == nil {
		w.count = make(map[netip.Prefix]int)
	}
	customer := ipaddr.Customer(from)
	w.conns = append(w.conns, waitingConn{c, customer})
	w.count[customer]++
	if len(w.conns) <= most {
		return nil
	}
	oldest, busiest := 0, 0
	for i, c := range w.conns {
		if n := w.count[c.from]; n > busiest {
			oldest, busiest = i, n
		}
	}
	crowded = w.conns[oldest].TCPConn
	w.removeAt(oldest)
	return crowded
}

// remove removes a connection. It reports whether the connection was there.
func (w *waiting) remove(c *net.TCPConn) bool {
	i := slices.IndexFunc(w.conns, func(o waitingConn) bool { return o.TCPConn == c })
	if i >= 0 {
		w.removeAt(i)
	}
	return i >= 0
}

func (w *waiting) removeAt(i int) {
	from := w.conns[i].from
	w.conns = slices.Delete(w.conns, i, i+1)
	if w.count[from]--; w.count[from] == 0 {
		delete(w.count, from)
	}
}

// clear removes all connections, and returns them.
func (w *waiting) clear() (conns []*net.TCPConn) {
	for _, c := range w.conns {
		conns = append(conns, c.TCPConn)
	}
	*w = waiting{}
	return conns
}
