package tcpport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// What the process has in use, in all its ports.
var listening, connecting atomic.Int64

// Listening is how many sockets of this process listen on a Port.
func Listening() int { return int(listening.Load()) }

// Connecting is how many connects of this process from a Port are under way.
func Connecting() int { return int(connecting.Load()) }

// ErrTupleTaken is returned by [Port.Connect] when the 4-tuple belongs to a
// connection that exists already. During a punch that is good news: the peer's
// SYN was let in first, and the listener has the connection.
var ErrTupleTaken = errors.New("a connection between the same two ports exists already")

// ErrPortInUse is returned by [OpenNumber] when a program listens on the port
// already.
var ErrPortInUse = errors.New("another program listens on this port")

// ErrShort is returned where the system has no socket to give, so that nothing was sent: the
// process is short of file descriptors, or the host of local ports or memory.
var ErrShort = errors.New("the system is short of file descriptors, local ports or memory")

// bindAttempts is how often Open looks for a number that is free for IPv4 and
// for IPv6. The kernel picks it for IPv4 among some 28,000, so that a second
// try is rare.
const bindAttempts = 8

// A Port is one local TCP port number, bound on every address of the host and,
// where the host has IPv6, in both families.
type Port struct {
	number    uint16
	listeners []*net.TCPListener
	accepting sync.WaitGroup
	reception reception
}

// Open binds a port that the kernel chooses and starts to listen on it. The
// error matches [errors.ErrUnsupported] on systems where a port cannot be
// shared, and [ErrShort] where there is none.
func Open() (*Port, error) {
	var err error
	for range bindAttempts {
		var p *Port
		if p, err = open(0, true); err == nil {
			return p, nil
		}
		if !isPortInUse(err) {
			break
		}
	}
	return nil, fmt.Errorf("tcpport: bind a shared port: %w", shortage(err))
}

// shortage adds ErrShort to what the kernel says to a bind of any port, if that is why it fails.
func shortage(err error) error {
	if isShort(err) || isPortInUse(err) {
		return fmt.Errorf("%w: %w", ErrShort, err)
	}
	return err
}

// OpenNumber is [Open] for a port that a person chose; 0 leaves the choice to the
// kernel. The error matches [ErrPortInUse] if that is the reason, also when it is
// in use by a program that would share it: the kernel would give each of the
// two some of the peers' connections.
func OpenNumber(number uint16) (*Port, error) {
	if number == 0 {
		return Open()
	}
	p, err := openAlone(number)
	if isPortInUse(err) {
		err = fmt.Errorf("%w: %w", ErrPortInUse, err)
	}
	if err != nil {
		return nil, fmt.Errorf("tcpport: bind port %d: %w", number, err)
	}
	return p, nil
}

// openAlone finds out whether somebody listens by a socket that does not share,
// and which is closed before the ones that do are made.
func openAlone(number uint16) (*Port, error) {
	var alone net.ListenConfig
	alone.SetMultipathTCP(false)
	for network, address := range unspecified {
		l, err := alone.Listen(context.Background(), network, netip.AddrPortFrom(address, number).String())
		if isPortInUse(err) {
			return nil, err
		}
		if err == nil {
			l.Close()
		}
	}
	return open(number, true)
}

// OpenIPv4 is [Open] in IPv4 alone, for who needs many ports: it has one socket.
func OpenIPv4() (*Port, error) {
	p, err := open(0, false)
	if err != nil {
		return nil, fmt.Errorf("tcpport: bind a shared port: %w", shortage(err))
	}
	return p, nil
}

// unspecified is the wildcard address of each family.
var unspecified = map[string]netip.Addr{
	"tcp4": netip.IPv4Unspecified(),
	"tcp6": netip.IPv6Unspecified(),
}

func open(number uint16, both bool) (*Port, error) {
	l4, err := listen("tcp4", number)
	if err != nil {
		return nil, err
	}
	p := &Port{
		number:    uint16(l4.Addr().(*net.TCPAddr).Port),
		listeners: []*net.TCPListener{l4},
	}
	if both {
		l6, err := listen("tcp6", p.number)
		switch {
		case err == nil:
			p.listeners = append(p.listeners, l6)
		case isPortInUse(err):
			// Somebody else's port in IPv6: a number that is ours in one family
			// only would punch in one family only.
			l4.Close()
			return nil, err
		}
		// Any other error means that the host has no IPv6.
	}
	listening.Add(int64(len(p.listeners)))
	for _, l := range p.listeners {
		p.accepting.Go(func() {
			defer listening.Add(-1)
			p.accept(l)
		})
	}
	return p, nil
}

func listen(network string, number uint16) (*net.TCPListener, error) {
	lc := net.ListenConfig{Control: share}
	// A Multipath TCP socket cannot share its port with plain TCP sockets.
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, netip.AddrPortFrom(unspecified[network], number).String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Number returns the port's number.
func (p *Port) Number() uint16 { return p.number }

// Connect opens a connection from the port to remote. It returns when the
// connection is established, when the attempt fails by itself, or when ctx
// ends; the socket of an attempt that ctx ended is closed. The error is the
// kernel's, as a [*net.OpError], and matches [ErrTupleTaken] or [ErrShort] if that is
// its meaning.
func (p *Port) Connect(ctx context.Context, remote netip.AddrPort) (*net.TCPConn, error) {
	c, err := p.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// DialContext is [Port.Connect] in the form of [net.Dialer], for names as well
// as addresses. Network is "tcp", "tcp4" or "tcp6".
func (p *Port) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	// With a wildcard of its own family as local address, the kernel chooses
	// the source address by its routes. Go refuses to pair a family with the
	// other, so a literal address decides, and a name is tried as IPv4 first:
	// that is where the NATs are.
	networks := []string{network}
	if network == "tcp" {
		networks = []string{"tcp4", "tcp6"}
		if ip, err := netip.ParseAddr(host); err == nil {
			networks = networks[:1]
			if ip.Is6() && !ip.Is4In6() {
				networks[0] = "tcp6"
			}
		}
	}
	var errs []error
	for _, n := range networks {
		c, err := p.dial(ctx, n, address)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

func (p *Port) dial(ctx context.Context, network, address string) (*net.TCPConn, error) {
	local := &net.TCPAddr{IP: net.IPv4zero, Port: int(p.number)}
	if network == "tcp6" {
		local.IP = net.IPv6unspecified
	}
	d := net.Dialer{LocalAddr: local, Control: share}
	d.SetMultipathTCP(false)
	connecting.Add(1)
	defer connecting.Add(-1)
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		switch {
		case isTupleTaken(err):
			err = fmt.Errorf("%w: %w", ErrTupleTaken, err)
		case isShort(err):
			err = fmt.Errorf("%w: %w", ErrShort, err)
		}
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// Close stops listening, resets what was accepted and not handed out, and ends
// every [Expectation]. Connections that were handed out, or made by Connect,
// live on.
func (p *Port) Close() error {
	var errs []error
	for _, l := range p.listeners {
		errs = append(errs, l.Close())
	}
	p.accepting.Wait()
	p.reception.close()
	return errors.Join(errs...)
}

// Reset closes a connection with a RST (SO_LINGER of 0), so that neither side
// is left with the 4-tuple in TIME-WAIT.
func Reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
