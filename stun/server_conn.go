package stun

import (
	"bufio"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a serverConn.
const (
	stateIdle   int32 = iota // it waits for the first byte of a request
	stateBusy                // a request arrives or is answered
	stateClosed              // Shutdown closed it while it was idle
)

// A serverConn is one connection of a Server, served by one goroutine. It has no more memory than
// it needs while it is idle, as it is most of the time. A request is served by an exchange.
type serverConn struct {
	server *Server
	nc     net.Conn
	client netip.AddrPort
	rate   rateLimit
	state  atomic.Int32 // Shutdown may only close what is idle

	place int // in the connTable; -1 if it is in none

	// since and limit describe the current wait: when it began, counted from the server's start,
	// and how long it may take.
	since, limit atomic.Int64

	// first holds the first bytes of a request, usually all of it. A plain one has 20, one with
	// FINGERPRINT and CONNECT-BACK 36.
	first [64]byte
}

func newServerConn(s *Server, nc net.Conn, client netip.AddrPort) *serverConn {
	c := &serverConn{server: s, nc: nc, client: client, rate: rateLimit{max: s.cfg.MaxRequestRate}, place: -1}
	c.begin(time.Now(), s.cfg.RequestTimeout) // of the first request
	return c
}

// begin records that c may wait for limit from now on, and returns the deadline.
func (c *serverConn) begin(now time.Time, limit time.Duration) (deadline time.Time) {
	c.since.Store(int64(now.Sub(c.server.begun)))
	c.limit.Store(int64(limit))
	return now.Add(limit)
}

// used returns the part of its time that c has used.
func (c *serverConn) used(now time.Time) float64 {
	return float64(int64(now.Sub(c.server.begun))-c.since.Load()) / float64(c.limit.Load())
}

// owes reports whether c has yet to send a request, or the rest of one.
func (c *serverConn) owes() bool { return c.limit.Load() == int64(c.server.cfg.RequestTimeout) }

// local returns the server's address that the client connected to.
func (c *serverConn) local() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// socketBuffer bounds the kernel's buffers of a connection, in bytes in either direction: two of
// the longest messages. By default the kernel keeps, of responses that a client does not read, 87
// kB on Ethernet and 2.6 MB on loopback. With the bound it is 33 kB on Linux, which fills a buffer
// that it has begun.
const socketBuffer = 2 * maxMessage

// serve answers requests until the connection ends, and closes it: with a FIN if the client closed
// it or was idle, or the server shuts down, and otherwise with a RST, since a client that breaks
// the rules need not get what is unsent.
func (c *serverConn) serve() {
	if b, ok := c.nc.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	}); ok { // They fail for a connection that is gone.
		_ = b.SetReadBuffer(socketBuffer)
		_ = b.SetWriteBuffer(socketBuffer)
	}
	// A client connects to ask. One that does not ask soon is not worth its place.
	limit := c.server.cfg.RequestTimeout
	for {
		n, ok := c.awaitRequest(limit)
		if !ok {
			break
		}
		limit = c.server.cfg.IdleTimeout
		if !serveRequests(c, c.first[:n]) {
			reset(c.nc)
			return
		}
		if c.state.Store(stateIdle); c.server.closing() {
			break
		}
	}
	_ = c.nc.Close()
}

// closeIdle closes c unless it is in the middle of a request, after which serve ends.
func (c *serverConn) closeIdle() {
	if c.state.CompareAndSwap(stateIdle, stateClosed) {
		_ = c.nc.Close()
	}
}

// awaitRequest waits for the first bytes of a request. It returns how many are in c.first, and
// false if there is no request to serve.
func (c *serverConn) awaitRequest(limit time.Duration) (n int, ok bool) {
	if c.nc.SetReadDeadline(c.begin(time.Now(), limit)) != nil {
		return 0, false
	}
	n, err := c.nc.Read(c.first[:])
	if err != nil && c.owes() { // its first request; afterwards it may leave, and be idle
		c.server.counters.failed(err)
	}
	return n, err == nil && c.state.CompareAndSwap(stateIdle, stateBusy)
}

// An exchange serves requests of one connection that come one after the other. It is then used
// again for another connection.
type exchange struct {
	conn *serverConn
	read []byte        // from the connection, and not yet by r
	r    *bufio.Reader // of the exchange
	back *net.TCPConn  // made by connectBack for the current request; nil if there is none
	responder
}

var exchanges = sync.Pool{New: func() any {
	x := new(exchange)
	x.r = bufio.NewReaderSize(x, maxMessage)
	return x
}}

// serveRequests answers the request whose first bytes have arrived on c, and those that arrived
// with it. It reports whether the connection may go on.
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

// Read reads what has arrived, and then more of the current request.
func (x *exchange) Read(b []byte) (int, error) {
	if len(x.read) == 0 {
		return x.conn.nc.Read(b)
	}
	n := copy(b, x.read)
	x.read = x.read[n:]
	return n, nil
}

// serveRequest reads a message that has begun to arrive and answers it. It reports whether the
// connection may go on.
func (x *exchange) serveRequest() bool {
	now := time.Now()
	// The deadline is for both reading the rest and writing. Write blocks only if the client does
	// not read and the send buffer is full.
	c := x.conn
	if c.nc.SetDeadline(c.begin(now, c.server.cfg.RequestTimeout)) != nil {
		return false
	}
	if err := readMessage(x.r, &x.req); err != nil {
		c.server.counters.failed(err)
		return false
	}
	if !c.rate.allow(now) {
		c.server.counters.inc(countRate)
		return false
	}
	b := x.respond(x.connectBack)
	x.release()
	if b == nil {
		return true
	}
	c.server.counters.inc(countTCPRequest)
	_, err := c.nc.Write(b)
	if x.back != nil {
		// Only now: the RST may make a NAT remove the mapping, and the response would not arrive.
		reset(x.back)
		x.back = nil
	}
	if err != nil {
		c.server.counters.failed(err)
	}
	return err == nil
}

// connectBack carries out a request's CONNECT-BACK, and returns the response's. It takes
// connectBackTime at most.
func (x *exchange) connectBack(asked connectBack) connectBack {
	c := x.conn
	backs, local := c.server.backs, c.local()
	b := connectBack{from: asked.from}
	if asked.from == fromNowhere {
		if s := backs.silentPort(local.Addr()); s != nil {
			b.port = s.Number()
		}
		return b
	}
	b.outcome, x.back = backs.connect(asked.from, local.Addr(), c.server.cfg.other(local).Addr(), c.client)
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.cfg.RequestTimeout)) // fails if the connection is gone
	return b
}

// A rateLimit counts messages in windows of a second. Nothing finer is needed: it bounds work, and
// shapes no traffic.
type rateLimit struct {
	max   int
	begun time.Time // of the window
	n     int       // messages in the window
}

// allow counts a message at now, and reports whether it is within the bound.
func (r *rateLimit) allow(now time.Time) bool {
	if now.Sub(r.begun) >= time.Second {
		r.begun, r.n = now, 0
	}
	r.n++
	return r.n <= r.max
}
