package transport

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// A meddler is a relay that does what it likes with what it carries. It is go-libp2p's own relay,
// on a host whose streams are not what they seem.
type meddler struct {
	host.Host
	mu      sync.Mutex
	circuit map[peer.ID]*circuit // by the peers at either end
}

// A circuit is what becomes of one connection. Its ends are the dialler, 0, and the listener, 1.
type circuit struct {
	delay [2]time.Duration // of what comes from an end
	// What is done with a chunk from an end, by its number.
	meddle func(from, number int, chunk []byte) action
	// The host in place of the listener; nil for none.
	impostor func(net.Conn)

	mu     sync.Mutex
	ends   [2]*meddled
	chunks [2]int
}

type action struct {
	pass  []byte // instead of the chunk
	stall bool   // nothing more comes from this end
	cut   bool
}

func newMeddler(t *testing.T) *meddler {
	t.Helper()
	m := &meddler{
		Host:    newHost(t, libp2p.ResourceManager(&network.NullResourceManager{})),
		circuit: make(map[peer.ID]*circuit),
	}
	rc := relay.DefaultResources()
	rc.MaxReservations, rc.MaxReservationsPerIP, rc.MaxReservationsPerASN = 1000, 1000, 1000
	r, err := relay.New(m, relay.WithResources(rc), relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

// between has the relay treat what two peers say to each other as c says.
func (m *meddler) between(dialler, listener host.Host, c *circuit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.circuit[dialler.ID()], m.circuit[listener.ID()] = c, c
}

func (m *meddler) of(p peer.ID) *circuit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.circuit[p]
}

// SetStreamHandler is the relay's for diallers' streams.
func (m *meddler) SetStreamHandler(id protocol.ID, f network.StreamHandler) {
	m.Host.SetStreamHandler(id, func(s network.Stream) {
		if c := m.of(s.Conn().RemotePeer()); c != nil && id == proto.ProtoIDv2Hop {
			s = c.end(0, s)
		}
		f(s)
	})
}

// NewStream is the relay's for listeners' streams.
func (m *meddler) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if c := m.of(p); c != nil && c.impostor != nil && slices.Contains(ids, proto.ProtoIDv2Stop) {
		ours, theirs := net.Pipe()
		c.impostor(theirs)
		return c.end(1, pipeStream{conn: ours}), nil
	}
	s, err := m.Host.NewStream(ctx, p, ids...)
	if c := m.of(p); c != nil && err == nil && slices.Contains(ids, proto.ProtoIDv2Stop) {
		s = c.end(1, s)
	}
	return s, err
}

// A meddled stream is an end of a circuit, as the relay has it.
type meddled struct {
	network.Stream
	c    *circuit
	from int

	begun  chan struct{} // closed when the relay has said that the circuit is there
	begin  func()
	closed chan struct{}
	close  func()
	queue  chan late
	pump   func()
	rest   []byte
}

type late struct {
	due   time.Time
	chunk []byte
	err   error
}

func (c *circuit) end(i int, s network.Stream) network.Stream {
	m := &meddled{Stream: s, c: c, from: i, begun: make(chan struct{}), closed: make(chan struct{}), queue: make(chan late, 1000)}
	m.begin = sync.OnceFunc(func() { close(m.begun) })
	m.close = sync.OnceFunc(func() { close(m.closed) })
	m.pump = sync.OnceFunc(func() { go m.read() })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[i] = m
	return m
}

// Write writes to the dialler; the first call is the relay's message about the circuit.
func (m *meddled) Write(b []byte) (int, error) {
	n, err := m.Stream.Write(b)
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.from == 0 && m.c.ends[1] != nil {
		m.begin()
		m.c.ends[1].begin()
	}
	return n, err
}

func (m *meddled) Read(b []byte) (int, error) {
	select {
	case <-m.begun:
	default:
		return m.Stream.Read(b)
	}
	m.pump()
	for len(m.rest) == 0 {
		select {
		case l := <-m.queue:
			if l.err != nil {
				return 0, l.err
			}
			select {
			case <-time.After(time.Until(l.due)):
			case <-m.closed:
				return 0, network.ErrReset
			}
			m.rest = l.chunk
		case <-m.closed:
			return 0, network.ErrReset
		}
	}
	n := copy(b, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// read takes what comes, in time.
func (m *meddled) read() {
	for {
		b := make([]byte, 1<<16)
		n, err := m.Stream.Read(b)
		if n > 0 {
			a := m.c.treat(m.from, b[:n])
			m.queue <- late{due: time.Now().Add(m.c.delay[m.from]), chunk: a.pass}
			if a.cut {
				err = errors.New("cut")
			} else if a.stall {
				return
			}
		}
		if err != nil {
			m.queue <- late{err: err}
			return
		}
	}
}

func (c *circuit) treat(from int, chunk []byte) action {
	c.mu.Lock()
	n := c.chunks[from]
	c.chunks[from]++
	c.mu.Unlock()
	if c.meddle == nil {
		return action{pass: chunk}
	}
	return c.meddle(from, n, chunk)
}

func (m *meddled) Reset() error { m.close(); return m.Stream.Reset() }
func (m *meddled) Close() error { m.close(); return m.Stream.Close() }

// A pipeStream is a stream to another host in this process.
type pipeStream struct {
	network.Stream // nothing of it
	conn           net.Conn
}

func (s pipeStream) Read(b []byte) (int, error)         { return s.conn.Read(b) }
func (s pipeStream) Write(b []byte) (int, error)        { return s.conn.Write(b) }
func (s pipeStream) Close() error                       { return s.conn.Close() }
func (s pipeStream) CloseRead() error                   { return nil }
func (s pipeStream) CloseWrite() error                  { return s.conn.Close() }
func (s pipeStream) Reset() error                       { return s.conn.Close() }
func (s pipeStream) SetDeadline(t time.Time) error      { return s.conn.SetDeadline(t) }
func (s pipeStream) SetReadDeadline(t time.Time) error  { return s.conn.SetReadDeadline(t) }
func (s pipeStream) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }
func (s pipeStream) Scope() network.StreamScope         { return &network.NullScope{} }

// A streamConn is a connection over a stream.
type streamConn struct{ network.Stream }

func (streamConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (streamConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// A plain connection is one without addresses of interest.
type plain struct{ net.Conn }

func (plain) LocalMultiaddr() ma.Multiaddr  { return ma.StringCast("/ip4/127.0.0.1/tcp/1") }
func (plain) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast("/ip4/127.0.0.1/tcp/2") }
