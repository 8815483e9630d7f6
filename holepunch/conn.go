package holepunch

import (
	"net"
	"net/netip"
)

// A Conn is a TCP connection that came up during a punch. Nothing is known of
// its other end until it is secured.
type Conn struct {
	*net.TCPConn

	// Accepted tells that the listener had it: the peer's SYN came in before
	// ours went out, or from a port that was no candidate.
	Accepted bool

	// Candidate tells that the other end is a candidate of the peer. Only the
	// peer, or its NAT, can be there. The others may be strangers that share
	// an address with the peer.
	Candidate bool

	// again connects to the candidate once more, when the connection turned out to be of
	// no use; nil if accepted.
	again func()
}

// newConn prepares a socket: closed without a word (SO_LINGER of 0), for a FIN
// to a loser would leave its 4-tuple in TIME-WAIT, where the next punch between
// the same ports meets it.
func newConn(c *net.TCPConn, accepted bool) *Conn {
	c.SetLinger(0)
	return &Conn{TCPConn: c, Accepted: accepted, Candidate: !accepted} // we connect to candidates
}

func (c *Conn) local() uint16 { return uint16(c.LocalAddr().(*net.TCPAddr).Port) }

// Remote is the address of the other end.
func (c *Conn) Remote() netip.AddrPort {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
