package stun

import (
	"bufio"
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

// serverConn is one connection of a Server, served by one goroutine.
type serverConn struct {
	server *Server
	nc     net.Conn
	client netip.AddrPort
	r      *bufio.Reader
	rate   rateLimit
	state  atomic.Int32 // Shutdown may only close what is idle
	back   *net.TCPConn // made by connectBack for the request at hand; nil if there is none
	responder
}

func newServerConn(s *Server, nc net.Conn, client netip.AddrPort) *serverConn {
	c := &serverConn{
		server: s,
		nc:     nc,
		client: client,
		r:      bufio.NewReaderSize(nc, maxMessage),
		rate:   rateLimit{max: s.cfg.MaxRequestRate},
	}
	c.responder.init(client, s.cfg.other(addrPort(nc.LocalAddr())), c.connectBack)
	return c
}

// serve answers requests until the connection ends, and closes it: with a FIN
// if the client closed it, was idle or the server shuts down, and otherwise
// with a RST, for a client that breaks the rules is owed nothing.
func (c *serverConn) serve() {
	for c.awaitRequest() {
		if !c.serveRequest() {
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

// awaitRequest waits for the first byte of a request, and reports whether there
// is one to serve.
func (c *serverConn) awaitRequest() bool {
	if c.r.Buffered() == 0 && c.nc.SetReadDeadline(time.Now().Add(c.server.cfg.IdleTimeout)) != nil {
		return false
	}
	if _, err := c.r.Peek(1); err != nil {
		return false
	}
	return c.state.CompareAndSwap(stateIdle, stateBusy)
}

// serveRequest reads a message that has begun to arrive and answers it. It
// reports whether the connection may go on.
func (c *serverConn) serveRequest() bool {
	now := time.Now()
	// For both, reading the rest and writing. An answer waits only if the
	// client does not read and the send buffer is full.
	if c.nc.SetDeadline(now.Add(c.server.cfg.RequestTimeout)) != nil {
		return false
	}
	if readMessage(c.r, &c.req) != nil || !c.rate.allow(now) {
		return false
	}
	b := c.answer()
	if b == nil {
		return true
	}
	_, err := c.nc.Write(b)
	if c.back != nil {
		// Now, for its RST may make a NAT forget the mapping, and the answer
		// would not arrive.
		reset(c.back)
		c.back = nil
	}
	return err == nil
}

// connectBack does what a CONNECT-BACK asks for, and returns the one of the
// response. It takes callbackTime at most.
func (c *serverConn) connectBack(asked connectBack) connectBack {
	local := addrPort(c.nc.LocalAddr()).Addr()
	b := connectBack{from: asked.from}
	if asked.from == fromNowhere {
		if s := c.server.callbacks.silentPort(local); s != nil {
			b.port = s.Number()
		}
		return b
	}
	b.outcome, c.back = c.server.callbacks.call(asked.from, local, c.other.Addr(), c.client)
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.cfg.RequestTimeout)) // a connection without one ends by its client
	return b
}
