package transport

import (
	"io"
	"sync/atomic"

	manet "github.com/multiformats/go-multiaddr/net"
)

// A choosingConn is one of several connections of a punch at the initiator, of which both sides must
// take the same. It calls choose before the first write after something was read: before that
// the server can take no connection for secured, for the client's last message, in TLS 1.3 and in Noise's
// XX, answers the server's. Nor is one chosen on which nobody answers: a stranger's, or one whose
// mapping the NAT has dropped.
type choosingConn struct {
	manet.Conn
	rw       io.ReadWriter // what is read and written: Conn, or something above it
	choose   func() error
	answered atomic.Bool
	chosen   bool // owned by Write, of which there is one at a time
}

func (c *choosingConn) Read(b []byte) (int, error) {
	n, err := c.rw.Read(b)
	if n > 0 && !c.answered.Load() {
		c.answered.Store(true)
	}
	return n, err
}

func (c *choosingConn) Write(b []byte) (int, error) {
	if !c.chosen && c.answered.Load() && !inClear(b) {
		if err := c.choose(); err != nil {
			return 0, err
		}
		c.chosen = true
	}
	return c.rw.Write(b)
}

// inClear tells whether b is nothing but records of TLS that are not encrypted yet, as the client's last message
// is: a ClientHello, which anybody can have repeated (RFC 8446, section 4.1.4), and the
// change_cipher_spec before it. No message of Noise is that, since it begins with its length.
func inClear(b []byte) bool {
	const header, changeCipherSpec, handshake = 5, 20, 22
	for len(b) > 0 {
		if len(b) < header || b[0] != changeCipherSpec && b[0] != handshake || b[1] != 3 {
			return false
		}
		n := header + int(b[3])<<8 + int(b[4])
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}
