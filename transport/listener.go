package transport

import (
	"context"
	"net"
	"sync"

	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
)

var _ tpt.Listener = (*listener)(nil)

// hiddenAddr is what the host's own listener says it listens at. go-libp2p takes
// that address out of whatever it advertises; it is, like the relay client's
// listener that reports the same, of no use to a dialler by itself.
var hiddenAddr = ma.StringCast("/p2p-circuit")

// A listener hands out the connections of the punches in which the transport is
// the responder.
type listener struct {
	t        *Transport
	port     *warmPort
	addr     ma.Multiaddr
	incoming chan tpt.CapableConn
	closed   chan struct{}
	close    func() error
}

func (t *Transport) newListener(port *warmPort, addr ma.Multiaddr) *listener {
	l := &listener{
		t:        t,
		port:     port,
		addr:     addr,
		incoming: make(chan tpt.CapableConn),
		closed:   make(chan struct{}),
	}
	l.close = sync.OnceValue(func() error {
		close(l.closed)
		return t.removeListener(l)
	})
	return l
}

// deliver hands conn to Accept, or closes it when nobody will have it.
func (l *listener) deliver(ctx context.Context, conn tpt.CapableConn) {
	select {
	case l.incoming <- conn:
		return // also when ctx has ended: select would choose at random
	default:
	}
	select {
	case l.incoming <- conn:
	case <-l.closed:
		conn.Close()
	case <-ctx.Done():
		conn.Close()
	}
}

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

func (l *listener) Close() error            { return l.close() }
func (l *listener) Multiaddr() ma.Multiaddr { return l.addr }

func (l *listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4zero, Port: int(l.port.Number())}
}
