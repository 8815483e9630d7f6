package punch

import (
	"net"
	"os"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// Read reads what the peer has written. Before the choice only a responder's Read returns any.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.readFrom.Load()
	if c == nil {
		n, err := 0, error(nil)
		if n, c, err = s.readKept(p); c == nil {
			return n, err
		}
	}
	return c.Read(p)
}

// readKept reads what copies have delivered. When nothing is left of it and a connection was
// chosen, it returns that instead.
func (s *Stream) readKept(p []byte) (int, *net.TCPConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := &s.choice; ; s.wait(s.readDeadline) {
		switch {
		case k.err != nil:
			return 0, nil, k.err
		case expired(s.readDeadline):
			return 0, nil, os.ErrDeadlineExceeded
		case k.read < len(k.in):
			return k.take(p), nil, nil
		case s.conn != nil:
			k.in, k.read = nil, 0
			s.readFrom.Store(s.conn.TCPConn)
			return 0, s.conn.TCPConn, nil
		}
	}
}

// Write writes to the peer.
func (s *Stream) Write(p []byte) (int, error) {
	c := s.writeTo.Load()
	if c == nil {
		n, err := 0, error(nil)
		if n, c, err = s.keep(p); c == nil {
			return n, err
		}
	}
	return c.Write(p)
}

// keep keeps p for all copies, or none of it: so Writes from several goroutines are never mixed.
// When a connection was chosen and what was kept is sent, it returns that instead.
func (s *Stream) keep(p []byte) (int, *net.TCPConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := &s.choice; ; s.wait(s.writeDeadline) {
		switch {
		case k.err != nil:
			return 0, nil, k.err
		case k.chosen != nil && k.chosen.writeErr != nil:
			return 0, nil, k.chosen.writeErr
		case expired(s.writeDeadline):
			return 0, nil, os.ErrDeadlineExceeded
		case s.writeTo.Load() != nil:
			return 0, s.writeTo.Load(), nil
		case k.chosen == nil && k.write(p):
			s.startWriters()
			return len(p), nil, nil
		}
	}
}

// Close closes the stream. Before the choice it resets all connections; after it the chosen one is
// closed as any TCP connection, and what was written arrives. Spares are reset then: where a NAT
// forgets a port with a RST, what has not passed it yet is lost.
func (s *Stream) Close() error {
	var c *copyConn
	var spares []*net.TCPConn
	s.update(func(k *choice) {
		k.close(net.ErrClosed)
		c, spares, s.spares = s.conn, s.spares, nil
	})
	if c == nil {
		return nil
	}
	s.flush(c)
	defer c.writers.Wait()
	err := c.Close()
	for _, other := range spares {
		tcpport.Reset(other)
	}
	return err
}

// flush waits until what was kept is sent on the chosen connection, or cannot be.
func (s *Stream) flush(c *copyConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeTo.Load() == nil {
		c.SetWriteDeadline(time.Now().Add(s.cfg.flushTimeout))
	}
	for s.writeTo.Load() == nil && s.choice.chosen.writeErr == nil {
		s.wait(time.Time{})
	}
}

// SetDeadline sets the deadlines of Read and Write.
func (s *Stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read.
func (s *Stream) SetReadDeadline(t time.Time) error {
	if c := s.readFrom.Load(); c != nil {
		return c.SetReadDeadline(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readDeadline = t
	s.broadcast()
	if s.conn != nil {
		return s.conn.SetReadDeadline(t)
	}
	return s.choice.err
}

// SetWriteDeadline sets the deadline of Write.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	if c := s.writeTo.Load(); c != nil {
		return c.SetWriteDeadline(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeDeadline = t
	s.broadcast()
	if c := s.writeTo.Load(); c != nil {
		return c.SetWriteDeadline(t)
	}
	return s.choice.err
}

func expired(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }
