package holepunch

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// A Conn is a TCP connection that came up during a punch. Nothing is known of
// its other end until it is secured.
type Conn struct {
	*net.TCPConn

	// Accepted tells that the listener had it: the peer's SYN came in before
	// ours went out, or from a port that was no candidate.
	Accepted bool

	// Candidate tells that the other end is a candidate of the peer, and not one that was
	// foretold. Only the peer, or its NAT, can be there. The others may be strangers that share
	// an address with the peer.
	Candidate bool

	heard atomic.Bool             // the other end has said something
	end   context.CancelCauseFunc // of the handshake; nil before

	// choices is where the initiator's connections ask whether they are the one; nil for a
	// responder's.
	choices  chan<- *Conn
	granted  chan struct{} // closed when it is
	patience time.Duration // before it asks

	// again connects to the candidate once more, when the connection turned out to be of
	// no use; nil if accepted.
	again func()
}

// newConn prepares a socket: closed without a word (SO_LINGER of 0), for a FIN
// to a loser would leave its 4-tuple in TIME-WAIT, where the next punch between
// the same ports meets it.
func newConn(c *net.TCPConn, accepted bool) *Conn {
	c.SetLinger(0)
	return &Conn{TCPConn: c, Accepted: accepted, granted: make(chan struct{})}
}

// Read is as of a TCPConn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// Choose returns nil when this connection is the one that the initiator takes. Before that
// its handshake must send nothing after which the responder could take the connection to be secured, for
// both must have the same. The first connection that asks is chosen; the others wait until its
// handshake has failed, or ctx ends. A responder's connections are its peer's choice.
func (c *Conn) Choose(ctx context.Context) error {
	if c.choices == nil {
		return nil
	}
	if c.patience > 0 && !sleep(ctx, c.patience) {
		return context.Cause(ctx)
	}
	select {
	case c.choices <- c:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Conn) local() uint16 { return uint16(c.LocalAddr().(*net.TCPAddr).Port) }

// Remote is the address of the other end.
func (c *Conn) Remote() netip.AddrPort {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
