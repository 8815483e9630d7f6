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

// The bounds on connecting back. Each connect goes to an endpoint whose TCP connection is open, and
// sends it two SYNs at most.
const (
	// connectBackTime bounds one connect. SYNs leave at once and after 1 s (RFC 6298 section 2). A
	// third would leave at 2 s on Linux, where the kernel knows the deadline. The rest is for the
	// answer to the second.
	connectBackTime = 1900 * time.Millisecond

	// maxConnectBacks bounds the connects under way. Each takes a socket, all together 4 MB. When
	// none is answered it allows 540 a second.
	maxConnectBacks = 1024

	// connectBackWindow is the time in which a client may ask maxPerClient times, a network
	// maxPerNetwork times, and all together maxPerWindow times. A host that discovers its NAT asks
	// for three: ten hosts a minute behind one address of a carrier would be many, and so would ten
	// such addresses next to each other. All together make at most 667 SYNs a second, which is 40
	// kB and 3 % of a core. An attacker needs 67 networks to use up everybody's share.
	connectBackWindow = time.Minute
	maxPerClient      = 30
	maxPerNetwork     = 300
	maxPerWindow      = 20000
)

// connectBacks makes and bounds a server's connects to its clients.
type connectBacks struct {
	ctx    context.Context // ends with close
	cancel context.CancelFunc

	mu       sync.Mutex
	begun    time.Time            // of the window
	asked    map[netip.Prefix]int // by client, and by network
	total    int
	underWay int
	silent   map[netip.Addr]*tcpport.SilentPort // by local address; nil where there cannot be one
}

func newConnectBacks() *connectBacks {
	ctx, cancel := context.WithCancel(context.Background())
	return &connectBacks{ctx: ctx, cancel: cancel, silent: make(map[netip.Addr]*tcpport.SilentPort)}
}

// close ends all connects and closes the silent ports.
func (b *connectBacks) close() {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.silent {
		if s != nil {
			_ = s.Close()
		}
	}
	clear(b.silent)
}

// begin counts a connect to a client, and reports whether it is within the bounds. If so the caller
// must call end.
func (b *connectBacks) begin(client netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.begun) >= connectBackWindow {
		b.begun, b.total, b.asked = now, 0, make(map[netip.Prefix]int)
	}
	customer, network := ipaddr.Customer(client), ipaddr.Network(client)
	if b.ctx.Err() != nil || b.underWay >= maxConnectBacks || b.total >= maxPerWindow ||
		b.asked[customer] >= maxPerClient || b.asked[network] >= maxPerNetwork {
		return false
	}
	b.asked[customer]++
	b.asked[network]++
	b.total++
	b.underWay++
	return true
}

func (b *connectBacks) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay--
}

// silentPort returns the silent port at an address of this server, or nil if there cannot be one.
func (b *connectBacks) silentPort(local netip.Addr) *tcpport.SilentPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.silent[local]
	if !ok && b.ctx.Err() == nil {
		var err error
		// Any other error may pass, as running out of files and memory does: the next client has
		// another try.
		if s, err = tcpport.ListenSilent(local); err == nil || errors.Is(err, errors.ErrUnsupported) {
			b.silent[local] = s
		}
	}
	return s
}

// connect connects to client from the place that it asked for. It returns the connection if there
// is one. The request came to the address local; other is the server's other address, if it has
// one.
func (b *connectBacks) connect(asked from, local, other netip.Addr, client netip.AddrPort) (outcome, *net.TCPConn) {
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
	ctx, cancel := context.WithTimeout(b.ctx, connectBackTime)
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
		return notDone // the server has no such address, or no route, or is closing
	}
}
