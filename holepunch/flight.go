package holepunch

import (
	"net"
	"sync"
	"sync/atomic"
)

// A flightConn is what a Handshake runs on: a connection whose first bytes travel in the
// signalling.
//
// What is written before the first Read that has to wait is the flight, which FLIGHT carries. The
// peer's flight is read first. Everything else goes over the embedded connection, which continues
// the same two byte streams. A flight of more than maxFlight bytes is left empty in the signalling
// and written to the connection instead.
type flightConn struct {
	net.Conn // the stream, as Handshake.Wrap wraps it

	passing atomic.Bool // Read and Write go straight to Conn

	mu          sync.Mutex
	cond        sync.Cond
	flightReady func(flight []byte) // called once, when the flight is complete
	phase       flightPhase
	in          []byte // of the peer's flight, not read yet
	out         []byte // the flight; one that became too long is written to Conn instead
	err         error
}

type flightPhase uint8

const (
	collecting flightPhase = iota // the flight is being written
	held                          // the flight is complete; reads and writes wait
	opened                        // reads and writes go over Conn
)

// newFlightConn returns a connection that reads the peer's flight first, if there is one already.
func newFlightConn(c net.Conn, flight []byte, ready func([]byte)) *flightConn {
	f := &flightConn{Conn: c, flightReady: ready, in: flight}
	f.cond.L = &f.mu
	return f
}

// open has reads and writes go over the connection from now on, after the peer's flight.
func (c *flightConn) open(flight []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.in, c.flightReady = opened, append(c.in, flight...), nil
	c.cond.Broadcast()
}

// fail ends reads and writes that are not over the connection yet.
func (c *flightConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != opened && c.err == nil {
		c.err = err
		c.cond.Broadcast()
	}
}

// endFlight completes the flight if it is not complete yet.
func (c *flightConn) endFlight() {
	c.mu.Lock()
	if c.phase == collecting {
		c.complete(true)
	}
	c.mu.Unlock()
}

func (c *flightConn) Read(b []byte) (int, error) {
	if c.passing.Load() {
		return c.Conn.Read(b)
	}
	if n, err := c.readFlight(b); n > 0 || err != nil {
		return n, err
	}
	return c.Conn.Read(b)
}

// readFlight reads of the peer's flight. It returns 0 and no error when the connection is next.
func (c *flightConn) readFlight(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return 0, c.err
		case len(c.in) > 0:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			return n, nil
		case c.phase == opened:
			if len(c.out) == 0 {
				c.passing.Store(true)
			}
			return 0, nil
		case c.phase == collecting:
			c.complete(true)
		default:
			c.cond.Wait()
		}
	}
}

func (c *flightConn) Write(b []byte) (int, error) {
	if c.passing.Load() {
		return c.Conn.Write(b)
	}
	rest, written, err := c.writeFlight(b)
	switch {
	case err != nil:
		return 0, err
	case written:
		return len(b), nil
	}
	if len(rest) > 0 {
		if _, err := c.Conn.Write(rest); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// writeFlight adds b to the flight, or waits until the connection is next. Then it returns what is
// to be written before b: a flight that became too long.
func (c *flightConn) writeFlight(b []byte) (rest []byte, written bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return nil, false, c.err
		case c.phase == opened:
			rest, c.out = c.out, nil
			return rest, false, nil
		case c.phase == held:
			c.cond.Wait()
		case len(c.out)+len(b) <= maxFlight:
			c.out = append(c.out, b...)
			return nil, true, nil
		default:
			c.complete(false)
		}
	}
}

// complete ends the flight, which is empty if it does not fit. It is called with the lock held, and
// gives it up meanwhile.
func (c *flightConn) complete(fits bool) {
	var flight []byte
	if fits {
		flight, c.out = c.out, nil
	}
	ready := c.flightReady
	c.phase = held
	c.mu.Unlock()
	ready(flight)
	c.mu.Lock()
}

// Close closes the connection, which before open is that of the signalling only.
func (c *flightConn) Close() error {
	c.fail(net.ErrClosed)
	c.mu.Lock()
	over := c.phase == opened
	c.mu.Unlock()
	if !over {
		return nil
	}
	return c.Conn.Close()
}
