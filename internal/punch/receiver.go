package punch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// errCrowded is the error of a connection that was evicted for others.
var errCrowded = errors.New("too many connections have not shown a token")

// A Receiver reads the preamble of accepted connections and hands each to the attempt whose token
// it shows. Connections that show an unknown token, anything else, or nothing in time are reset.
// Those that have not shown a token yet are bounded in number: beyond the bound the connection
// that has waited longest from the IPv4 address or IPv6 /64 with the most connections gives way.
//
// One Receiver serves all ports of an agent.
type Receiver struct {
	tuples  tuples        // that its attempts connect
	timeout time.Duration // tokenTimeout; shortened by tests
	workers sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	attempts map[Token]func(*net.TCPConn)
	waiting  waiting
}

// NewReceiver returns a Receiver. Close must be called.
func NewReceiver() *Receiver {
	return &Receiver{timeout: tokenTimeout, attempts: make(map[Token]func(*net.TCPConn))}
}

// Accept takes an accepted connection. It does not block; it is the accept function of a
// [tcpport.Port].
func (r *Receiver) Accept(c *net.TCPConn) {
	r.hold(c, func() {
		if serve, err := r.identify(c, nil); err == nil {
			serve(c)
		}
	})
}

// Expect hands connections that show the token, which no other attempt has, to serve, each in a
// goroutine of the Receiver, until cancel is called. cancel does not wait for calls of serve under
// way. serve owns the connection.
func (r *Receiver) Expect(t Token, serve func(*net.TCPConn)) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[t] = serve
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.attempts, t)
	}
}

// Close resets the connections that have not shown a token, and waits for the Receiver's
// goroutines. All Streams must have ended before.
func (r *Receiver) Close() error {
	r.mu.Lock()
	r.closed = true
	conns := r.waiting.clear()
	r.mu.Unlock()
	for _, c := range conns {
		tcpport.Reset(c)
	}
	r.workers.Wait()
	return nil
}

// hold adds a connection to those that have not shown a token, and runs read in a goroutine. It
// reports whether the Receiver is open; if not, it resets the connection.
func (r *Receiver) hold(c *net.TCPConn, read func()) bool {
	k := tupleOf(c)
	crowded := c
	r.mu.Lock()
	open := !r.closed
	if open {
		crowded = r.waiting.add(c, k.remote.Addr(), max(maxWaiting, maxWaitingPerAttempt*len(r.attempts)))
		r.tuples.accept(k)
		r.workers.Go(func() {
			read()
			r.tuples.end(k) // if it was of no use, others may connect
		})
	}
	r.mu.Unlock()
	if crowded != nil {
		tcpport.Reset(crowded)
	}
	return open
}

// leave removes a connection from those that have not shown a token. It reports false if the
// connection was reset meanwhile.
func (r *Receiver) leave(c *net.TCPConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting.remove(c)
}

// identify reads a preamble to its end and returns what serves the connections of its attempt. With
// an error it has reset the connection.
func (r *Receiver) identify(c *net.TCPConn, begun []byte) (func(*net.TCPConn), error) {
	line, err := readPreamble(c, begun, r.timeout)
	var t Token
	if err == nil {
		t, err = parsePreamble(line)
	}
	r.mu.Lock()
	waited, serve := r.waiting.remove(c), r.attempts[t]
	r.mu.Unlock()
	switch {
	case !waited:
		err = errCrowded
	case err == nil && serve == nil:
		err = ErrToken
	}
	if err != nil {
		tcpport.Reset(c)
		return nil, err
	}
	c.SetReadDeadline(time.Time{})
	return serve, nil
}

// readPreamble reads a preamble to its end, or what there is of it when the time is over.
func readPreamble(c *net.TCPConn, begun []byte, timeout time.Duration) ([]byte, error) {
	line := make([]byte, preambleLen)
	n := copy(line, begun)
	c.SetReadDeadline(time.Now().Add(timeout))
	m, err := io.ReadFull(c, line[n:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrSilent
	case err != nil:
		err = fmt.Errorf("read token: %w", err)
	}
	return line[:n+m], err
}

// tupleOf returns the 4-tuple of a connection.
func tupleOf(c *net.TCPConn) tuple {
	local, remote := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return tuple{uint16(local.Port), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())}
}
