package stun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// The bounds of connecting back. Each connect goes to an endpoint whose TCP
// connection is open, and sends it two SYNs at most.
const (
	// callbackTime is how long a connect may take: SYNs leave at once and
	// after 1 s (RFC 6298 section 2), a third would at 2 s on Linux, where the
	// kernel knows the deadline. What is left is for the answer to the second.
	callbackTime = 1900 * time.Millisecond

	// maxCallbacks is how many connects may be under way, each with a socket, 4 MB in all.
	// When none is answered that allows 540 a second.
	maxCallbacks = 1024

	// callbackWindow is the time in which one client may ask as often as
	// maxPerClient says, a network as often as maxPerNetwork, and all together as often
	// as maxPerWindow. A host that discovers its NAT asks for three: ten hosts in a minute
	// behind one address of a carrier would be many, and ten such addresses next to
	// each other. All together make 667 SYNs a second at most, which is 40 kB and 3 % of
	// a core; and who wants to leave nothing for the others needs 67 networks for it.
	callbackWindow = time.Minute
	maxPerClient   = 30
	maxPerNetwork  = 300
	maxPerWindow   = 20000
)

// callbacks is a server's connecting back.
type callbacks struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	begun    time.Time            // of the window
	asked    map[netip.Prefix]int // by clients, and by networks
	total    int
	underWay int
	silent   map[netip.Addr]*tcpport.SilentPort // by local address; nil if there cannot be one
	closed   bool
}

func newCallbacks() *callbacks {
	ctx, cancel := context.WithCancel(context.Background())
	return &callbacks{ctx: ctx, cancel: cancel, silent: make(map[netip.Addr]*tcpport.SilentPort)}
}

// close ends all connects, and the silent ports.
func (b *callbacks) close() {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, s := range b.silent {
		if s != nil {
			_ = s.Close()
		}
	}
	clear(b.silent)
}

// begin counts a connect to a client, and reports whether it is within the
// bounds. Then end must be called.
func (b *callbacks) begin(client netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.begun) >= callbackWindow {
		b.begun, b.total, b.asked = now, 0, make(map[netip.Prefix]int)
	}
	key, network := ipaddr.Customer(client), ipaddr.Network(client)
	if b.closed || b.underWay >= maxCallbacks || b.total >= maxPerWindow ||
		b.asked[key] >= maxPerClient || b.asked[network] >= maxPerNetwork {
		return false
	}
	b.asked[key]++
	b.asked[network]++
	b.total++
	b.underWay++
	return true
}

func (b *callbacks) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay--
}

// silentPort returns the silent port at an address of this server, or nil if
// there cannot be one.
func (b *callbacks) silentPort(local netip.Addr) *tcpport.SilentPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.silent[local]
	if !ok && !b.closed {
		var err error
		if s, err = tcpport.ListenSilent(local); err == nil || errors.Is(err, errors.ErrUnsupported) {
			b.silent[local] = s
		} // else the next client may have one: there are no files, or no memory
	}
	return s
}

// call connects to client from where it has asked, and returns the connection if
// there is one. local is where the request came to, other the server's other
// address, if it has one.
func (b *callbacks) call(asked from, local, other netip.Addr, client netip.AddrPort) (outcome, *net.TCPConn) {
	source := local
	if asked == fromOther {
		source = other
	}
	var silent *tcpport.SilentPort
	if asked == fromSilent {
		silent = b.silentPort(local)
	}
	switch {
	case asked != fromOther && asked != fromOwn && asked != fromSilent,
		asked == fromSilent && silent == nil,
		!source.IsValid() || source.Is4() != client.Addr().Is4(),
		!b.begin(client.Addr(), time.Now()):
		return notDone, nil
	}
	defer b.end()
	ctx, cancel := context.WithTimeout(b.ctx, callbackTime)
	defer cancel()
	var conn *net.TCPConn
	var err error
	if silent != nil {
		conn, err = silent.Connect(ctx, client)
	} else {
		conn, err = tcpport.ConnectFrom(ctx, source, client)
	}
	return outcomeOf(err), conn
}

func outcomeOf(err error) outcome {
	var e net.Error
	switch {
	case err == nil:
		return connected
	case errors.Is(err, tcpport.ErrICMP):
		return refusedICMP
	case errors.Is(err, tcpport.ErrReset):
		return refused
	case errors.As(err, &e) && e.Timeout():
		return noAnswer
	default:
		return notDone // the server has no such address, or no route, or ends
	}
}
