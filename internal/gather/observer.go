package gather

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Observer reports from which address it sees a local port: a STUN server, or something that
// the application knows. Observers are comparable.
type Observer interface {
	// String names the observer in logs and errors.
	fmt.Stringer
	// IPv4 reports whether the observer is asked over IPv4.
	IPv4() bool
	// Observe connects to the observer through d, which dials from the port, calls report once with
	// what it learned, and holds the connection until ctx ends or the connection does. It returns
	// why it ended, or failed, and has closed the connection then. [Gatherer.Close] waits for that.
	Observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error
}

// tupleWait is how long the connection before may still have the 4-tuple. It is closed with a RST,
// but a process that the program starts at that moment has a copy of its socket, until it executes.
const tupleWait = 200 * time.Millisecond

// An observerDialer dials from a port. Its connections are kept alive, and close with a RST, for a
// 4-tuple in TIME-WAIT would keep the port from asking the same observer again.
type observerDialer struct {
	port      *tcpport.Port
	keepAlive time.Duration    // 0 for what the system does
	from      func(netip.Addr) // gets each connection's local address; nil for none
}

func (d observerDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := d.port.DialContext(ctx, network, address)
	for end := time.Now().Add(tupleWait); errors.Is(err, tcpport.ErrTupleTaken) && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(tupleWait / 20)
		nc, err = d.port.DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	c := nc.(*net.TCPConn)
	c.SetLinger(0) // these fail for a connection that is gone
	if d.keepAlive > 0 {
		c.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: d.keepAlive, Interval: d.keepAlive / 5, Count: keepAliveProbes,
		})
	}
	if d.from != nil {
		d.from(c.LocalAddr().(*net.TCPAddr).AddrPort().Addr())
	}
	return c, nil
}
