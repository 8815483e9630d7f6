package tcpport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// listening counts the listeners of all Ports of the process.
var listening atomic.Int64

// Listening returns how many sockets of this process listen on a Port.
func Listening() int { return int(listening.Load()) }

// ErrPortInUse is returned by [OpenNumber] when a program listens on the port already.
var ErrPortInUse = errors.New("another program listens on this port")

// ErrShort is returned where the system has no socket to give, so that nothing was sent: the
// process is short of file descriptors, or the host of local ports or memory.
var ErrShort = errors.New("the system is short of file descriptors, local ports or memory")

const (
	// bindAttempts is how often Open looks for a number that is free for IPv4 and for IPv6. The
	// kernel picks it for IPv4 among some 28,000, so that a second try is rare.
	bindAttempts = 8

	// acceptPause follows an accept(2) that failed for want of file descriptors or memory: long
	// enough not to spin, short against a punch.
	acceptPause = 20 * time.Millisecond
)

// A Port is one local TCP port number, bound on every address of the host and, where the host has
// IPv6, in both families.
type Port struct {
	number    uint16
	accept    func(*net.TCPConn)
	control   Control // of every socket, with share
	route     Control // of a socket that asks for a route
	listeners []*net.TCPListener
	accepting sync.WaitGroup
	ipv6      netip.Addr // see ConnectingFrom
}

// Open binds a port that the kernel chooses, and listens on it. It calls accept with each accepted
// connection, which accept owns, from one goroutine for each family; accept must not block. With
// nil, accepted connections are reset. Control gets every socket of the port; nil for none. The
// error matches [errors.ErrUnsupported] on systems where a port cannot be shared, and [ErrShort]
// where there is none.
func Open(accept func(*net.TCPConn), control Control) (*Port, error) {
	var err error
	for range bindAttempts {
		var p *Port
		if p, err = open(0, true, accept, control); err == nil {
			return p, nil
		}
		if !isPortInUse(err) {
			break
		}
	}
	return nil, fmt.Errorf("tcpport: bind a shared port: %w", withShort(err))
}

// OpenIPv4 is [Open] in IPv4 alone, for callers that need many ports: each has one socket.
func OpenIPv4(accept func(*net.TCPConn), control Control) (*Port, error) {
	p, err := open(0, false, accept, control)
	if err != nil {
		return nil, fmt.Errorf("tcpport: bind a shared port: %w", withShort(err))
	}
	return p, nil
}

// withShort adds ErrShort to the error of a socket at a port of the system's choice, if the system
// is short of one of the two.
func withShort(err error) error {
	if isShort(err) || isPortInUse(err) {
		return fmt.Errorf("%w: %w", ErrShort, err)
	}
	return err
}

// OpenNumber is [Open] for a port that a person chose; 0 leaves the choice to the kernel. The
// error matches [ErrPortInUse] if a program listens on the port, also if that program would share
// it: the kernel would give each of the two some of the peers' connections.
func OpenNumber(number uint16, accept func(*net.TCPConn), control Control) (*Port, error) {
	if number == 0 {
		return Open(accept, control)
	}
	err := checkUnused(number, control)
	var p *Port
	if err == nil {
		p, err = open(number, true, accept, control)
	}
	if isPortInUse(err) {
		err = fmt.Errorf("%w: %w", ErrPortInUse, err)
	}
	if err != nil {
		return nil, fmt.Errorf("tcpport: bind port %d: %w", number, err)
	}
	return p, nil
}

// checkUnused finds out whether somebody listens on the port, by a socket that does not share it.
func checkUnused(number uint16, control Control) error {
	alone := net.ListenConfig{Control: control}
	alone.SetMultipathTCP(false)
	for network, address := range unspecified {
		l, err := alone.Listen(context.Background(), network, netip.AddrPortFrom(address, number).String())
		if isPortInUse(err) {
			return err
		}
		if err == nil {
			l.Close()
		}
	}
	return nil
}

// unspecified is the wildcard address of each family.
var unspecified = map[string]netip.Addr{
	"tcp4": netip.IPv4Unspecified(),
	"tcp6": netip.IPv6Unspecified(),
}

func open(number uint16, both bool, accept func(*net.TCPConn), control Control) (*Port, error) {
	route := control
	control = all(share, control)
	l4, err := listen("tcp4", number, control)
	if err != nil {
		return nil, err
	}
	if accept == nil {
		accept = Reset
	}
	p := &Port{
		number:    uint16(l4.Addr().(*net.TCPAddr).Port),
		accept:    accept,
		control:   control,
		route:     route,
		listeners: []*net.TCPListener{l4},
	}
	if both {
		l6, err := listen("tcp6", p.number, control)
		switch {
		case err == nil:
			p.listeners = append(p.listeners, l6)
		case isPortInUse(err), isShort(err):
			// Where the number is somebody else's in IPv6, or there is no socket for it, it would
			// punch in one family only.
			l4.Close()
			return nil, err
		}
		// Any other error means that the host has no IPv6.
	}
	listening.Add(int64(len(p.listeners)))
	for _, l := range p.listeners {
		p.accepting.Go(func() {
			defer listening.Add(-1)
			p.acceptFrom(l)
		})
	}
	return p, nil
}

func listen(network string, number uint16, control Control) (*net.TCPListener, error) {
	lc := net.ListenConfig{Control: control}
	// A Multipath TCP socket cannot share its port with plain TCP sockets.
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, netip.AddrPortFrom(unspecified[network], number).String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func (p *Port) acceptFrom(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case err == nil:
			p.accept(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(acceptPause)
		}
	}
}

// Number returns the port's number.
func (p *Port) Number() uint16 { return p.number }

// ConnectingFrom returns the same port, with connects in IPv6 that leave from an address of the
// host. A host may have several IPv6 addresses, of which the kernel prefers one by the destination,
// and another one every day (RFC 6724, RFC 8981). If addr is invalid, the kernel chooses. To close
// the returned Port does nothing.
func (p *Port) ConnectingFrom(addr netip.Addr) *Port {
	return &Port{number: p.number, control: p.control, route: p.route, ipv6: addr}
}

// WithMaxSegment returns the same port, with connects whose connections send and get segments of n
// bytes at most. To close the returned Port does nothing.
func (p *Port) WithMaxSegment(n int) *Port {
	return &Port{number: p.number, control: all(p.control, maxSegment(n)), route: p.route, ipv6: p.ipv6}
}

// Close stops listening. After it has returned, accept is not called any more. Connections live
// on.
func (p *Port) Close() error {
	var errs []error
	for _, l := range p.listeners {
		errs = append(errs, l.Close())
	}
	p.accepting.Wait()
	return errors.Join(errs...)
}

// Reset closes a connection with a RST (SO_LINGER of 0), so that neither side is left with the
// 4-tuple in TIME-WAIT.
func Reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
