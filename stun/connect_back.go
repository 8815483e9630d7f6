package stun

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// attrConnectBack is CONNECT-BACK, an extension of this package: see docs/stun-connect-back.md. Its
// number is comprehension-optional, so that servers and clients without it ignore it. It is in the
// half that IANA assigns by expert review (RFC 8489 section 18.3), far from the assigned numbers,
// which begin at 0xC000; there is no range for private use. CB stands for connect back.
const attrConnectBack pion.AttrType = 0xf0cb

// A connectBack is the value of CONNECT-BACK:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     From      |    Outcome    |             Port              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// In a request, outcome and port are 0. In a response, from is the request's, and port is the
// server's silent port if from is fromNowhere.
type connectBack struct {
	from    from
	outcome outcome
	port    uint16
}

const connectBackSize = 4

// A from is the place from which the server connects.
type from uint8

const (
	fromNowhere from = iota // none: the client only asks for the silent port
	fromOther               // the other address, and a port that no client knows
	fromOwn                 // the address that received the request, and a port that no client knows
	fromSilent              // the address that received the request, and the silent port
)

// An outcome is the result of the server's connect.
type outcome uint8

const (
	notDone     outcome = iota // there is no such address, or a bound was reached
	connected                  // a SYN+ACK arrived
	refused                    // a RST arrived
	refusedICMP                // an ICMP error arrived
	noAnswer                   // nothing arrived
)

// refuses reports whether a SYN was sent and not admitted.
func (o outcome) refuses() bool { return o == refused || o == refusedICMP || o == noAnswer }

// AddTo appends the attribute to m.
func (b connectBack) AddTo(m *pion.Message) error {
	value := [connectBackSize]byte{byte(b.from), byte(b.outcome)}
	binary.BigEndian.PutUint16(value[2:], b.port)
	m.Add(attrConnectBack, value[:])
	return nil
}

// GetFrom reads the attribute of m. Unknown values are no error.
func (b *connectBack) GetFrom(m *pion.Message) error {
	value, err := m.Get(attrConnectBack)
	if err != nil {
		return err
	}
	if len(value) != connectBackSize {
		return fmt.Errorf("%w: CONNECT-BACK of %d bytes", ErrMalformed, len(value))
	}
	*b = connectBack{from(value[0]), outcome(value[1]), binary.BigEndian.Uint16(value[2:])}
	return nil
}

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
	// for three, and for a fourth if nothing of one comes in: seven to ten hosts a minute behind
	// one address of a carrier would be many, and so would ten such addresses next to each other.
	// All together make at most 667 SYNs a second, which is 40 kB and 3 % of a core. An attacker
	// needs 67 networks to use up everybody's share.
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
	made     uint64 // in all
	refused  uint64
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
		b.refused++
		return false
	}
	b.asked[customer]++
	b.asked[network]++
	b.total++
	b.underWay++
	b.made++
	return true
}

// counts returns how many connects were made, and how many exceeded a bound.
func (b *connectBacks) counts() (made, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made, b.refused
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
