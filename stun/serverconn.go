package stun

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// What a connection of the server does.
const (
	stateIdle   int32 = iota // it waits for the first byte of a request
	stateBusy                // a request arrives or is answered
	stateClosed              // Shutdown closed it while it was idle
)

// serverConn is one connection of a Server, served by one goroutine. It has no more
// than it needs while it is idle, as it is most of the time; what serves a request is
// an exchange.
type serverConn struct {
	server *Server
	nc     net.Conn
	client netip.AddrPort
	rate   rateLimit
	state  atomic.Int32 // Shutdown may only close what is idle

	place        int          // in the connTable; -1 if it is in none
	since, limit atomic.Int64 // what it may do at present: since when, from the server's start, and for how long

	// first is for the first bytes of a request, most often all of it: a plain one
	// has 20, with FINGERPRINT and CONNECT-BACK 36.
	first [64]byte
}

func newServerConn(s *Server, nc net.Conn, client netip.AddrPort) *serverConn {
	c := &serverConn{server: s, nc: nc, client: client, rate: rateLimit{max: s.cfg.MaxRequestRate}, place: -1}
	c.begin(time.Now(), s.cfg.RequestTimeout) // of the first request
	return c
}

// begin notes that c may do something for some time from now on, and returns the end.
func (c *serverConn) begin(now time.Time, limit time.Duration) (deadline time.Time) {
	c.since.Store(int64(now.Sub(c.server.begun)))
	c.limit.Store(int64(limit))
	return now.Add(limit)
}

// used is the part of its time that c has used up.
func (c *serverConn) used(now time.Time) float64 {
	return float64(int64(now.Sub(c.server.begun))-c.since.Load()) / float64(c.limit.Load())
}

// socketBuffer bounds what the kernel keeps for a connection in either direction, in bytes:
// two of the longest messages. By itself it would keep, of answers that a client does not
// read, 87 kB on Ethernet and 2.6 MB on loopback; so it is 33 kB on Linux, which fills a
// buffer that it has begun.
const socketBuffer = 2 * maxMessage

func boundBuffers(nc net.Conn) {
	if b, ok := nc.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	}); ok { // They fail for a connection that is gone.
		_ = b.SetReadBuffer(socketBuffer)
		_ = b.SetWriteBuffer(socketBuffer)
	}
}

// owes reports whether c has yet to send a request, or the rest of one.
func (c *serverConn) owes() bool { return c.limit.Load() == int64(c.server.cfg.RequestTimeout) }

// local is the server's address, as the client has it.
func (c *serverConn) local() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// serve answers requests until the connection ends, and closes it: with a FIN
// if the client closed it, was idle or the server shuts down, and otherwise
// with a RST, for a client that breaks the rules is owed nothing.
func (c *serverConn) serve() {
	boundBuffers(c.nc)
	// Who connects wants to ask. One that does not is not worth a place for long.
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

// closeIdle closes c unless it is in the middle of a request; then serve ends
// after it.
func (c *serverConn) closeIdle() {
	if c.state.CompareAndSwap(stateIdle, stateClosed) {
		_ = c.nc.Close()
	}
}

// awaitRequest waits for the first bytes of a request. It returns how many are in
// c.first, and whether there is a request to serve.
func (c *serverConn) awaitRequest(limit time.Duration) (n int, ok bool) {
	if c.nc.SetReadDeadline(c.begin(time.Now(), limit)) != nil {
		return 0, false
	}
	n, err := c.nc.Read(c.first[:])
	return n, err == nil && c.state.CompareAndSwap(stateIdle, stateBusy)
}
