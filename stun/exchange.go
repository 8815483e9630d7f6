package stun

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// An exchange serves the requests of a connection that come one after the other, and
// is then used for another's.
type exchange struct {
	conn *serverConn
	read []byte        // of the connection, and not yet by r
	r    *bufio.Reader // of the exchange
	back *net.TCPConn  // made by connectBack for the request at hand; nil if there is none
	responder
}

var exchanges = sync.Pool{New: func() any {
	x := new(exchange)
	x.r = bufio.NewReaderSize(x, maxMessage)
	return x
}}

// serveRequests answers the request whose first bytes have arrived on c, and those
// which came along. It reports whether the connection may go on.
func serveRequests(c *serverConn, first []byte) bool {
	x := exchanges.Get().(*exchange)
	defer func() {
		x.conn, x.read = nil, nil
		exchanges.Put(x)
	}()
	x.conn, x.read = c, first
	x.r.Reset(x)
	x.setClient(c.client, c.server.cfg.other(c.local()))
	for {
		if !x.serveRequest() {
			return false
		}
		if len(x.read)+x.r.Buffered() == 0 || c.server.closing() {
			return true
		}
	}
}

// Read reads what has arrived, and then more of the request at hand.
func (x *exchange) Read(b []byte) (int, error) {
	if len(x.read) == 0 {
		return x.conn.nc.Read(b)
	}
	n := copy(b, x.read)
	x.read = x.read[n:]
	return n, nil
}

// serveRequest reads a message that has begun to arrive and answers it. It
// reports whether the connection may go on.
func (x *exchange) serveRequest() bool {
	now := time.Now()
	// For both, reading the rest and writing. An answer waits only if the
	// client does not read and the send buffer is full.
	c := x.conn
	if c.nc.SetDeadline(c.begin(now, c.server.cfg.RequestTimeout)) != nil {
		return false
	}
	if readMessage(x.r, &x.req) != nil || !c.rate.allow(now) {
		return false
	}
	b := x.answer(x.connectBack)
	x.forget()
	if b == nil {
		return true
	}
	_, err := c.nc.Write(b)
	if x.back != nil {
		// Now, for its RST may make a NAT forget the mapping, and the answer
		// would not arrive.
		reset(x.back)
		x.back = nil
	}
	return err == nil
}

// connectBack does what a CONNECT-BACK asks for, and returns the one of the
// response. It takes callbackTime at most.
func (x *exchange) connectBack(asked connectBack) connectBack {
	c := x.conn
	callbacks, local := c.server.callbacks, c.local()
	b := connectBack{from: asked.from}
	if asked.from == fromNowhere {
		if s := callbacks.silentPort(local.Addr()); s != nil {
			b.port = s.Number()
		}
		return b
	}
	b.outcome, x.back = callbacks.call(asked.from, local.Addr(), c.server.cfg.other(local).Addr(), c.client)
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.cfg.RequestTimeout)) // a connection without one ends by its client
	return b
}
