package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
)

// hiddenAddr is the address that the listener reports. go-libp2p takes it out of whatever it
// advertises: to a dialler it is of no use by itself, like that of the relay client's listener,
// which reports the same.
var hiddenAddr = ma.StringCast("/p2p-circuit")

// A listener hands out the connections of the attempts in which the transport is the responder.
type listener struct {
	port     uint16
	incoming chan tpt.CapableConn
	closed   chan struct{}
	close    func()
}

var _ tpt.Listener = (*listener)(nil)

// Listen accepts the direct connections of attempts that peers initiate. The only address to listen
// at is /simopen; the address that the listener reports is one that hosts do not advertise. A
// transport has one listener at a time.
func (t *Transport) Listen(a ma.Multiaddr) (tpt.Listener, error) {
	if !isSimopen(a) {
		return nil, fmt.Errorf("simopen: cannot listen on %s, only on %s", a, simopenAddr)
	}
	port, err := t.agent.Port()
	if t.ctx.Err() != nil {
		err = ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("simopen: listen: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listener != nil {
		return nil, errors.New("simopen: listening already")
	}
	l := &listener{
		port:     port,
		incoming: make(chan tpt.CapableConn),
		closed:   make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.listener = nil
	})
	t.listener = l
	return l, nil
}

// currentListener returns the listener, or nil.
func (t *Transport) currentListener() *listener {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.listener
}

// deliver hands conn to Accept and reports whether it did. If no caller takes conn, deliver closes
// it.
func (l *listener) deliver(ctx context.Context, conn tpt.CapableConn) bool {
	select {
	case l.incoming <- conn:
		return true // also when ctx has ended: select would choose at random
	default:
	}
	select {
	case l.incoming <- conn:
		return true
	case <-l.closed:
	case <-ctx.Done():
	}
	conn.Close()
	return false
}

// Accept returns the next connection.
func (l *listener) Accept() (tpt.CapableConn, error) {
	for {
		select {
		case c := <-l.incoming:
			if c.IsClosed() {
				c.Close() // gives its resource scope back
				continue
			}
			return c, nil
		case <-l.closed:
			return nil, tpt.ErrListenerClosed
		}
	}
}

// Close ends Accept. Attempts under way end without a connection.
func (l *listener) Close() error {
	l.close()
	return nil
}

// Multiaddr returns an address that hosts do not advertise.
func (l *listener) Multiaddr() ma.Multiaddr { return hiddenAddr }

// Addr returns the port that punches start from.
func (l *listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4zero, Port: int(l.port)}
}
