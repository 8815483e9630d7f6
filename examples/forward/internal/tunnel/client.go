package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
)

// openTimeout is how long a client may wait for its service. A direct connection that is dead is
// noticed after 10 s, and the next one takes some seconds.
const openTimeout = 20 * time.Second

// acceptPause is how long a listener that fails is left alone.
const acceptPause = time.Second

// A Client connects to a service of a peer.
type Client struct {
	host    host.Host
	to      peer.ID
	service string
	dial    func(context.Context) (network.Conn, error)
	recorder
	notify *network.NotifyBundle
	table  table
}

// NewClient makes a Client for a service of a peer; with an empty name it is the only one. dial
// returns a connection to the peer, a new one if necessary. The Client reports events from several
// goroutines. Close must be called.
func NewClient(h host.Host, to peer.ID, service string, dial func(context.Context) (network.Conn, error), tell func(Event), m *Metrics) *Client {
	c := &Client{host: h, to: to, service: service, dial: dial, recorder: recorder{tell, m}}
	c.notify = &network.NotifyBundle{DisconnectedF: c.table.disconnected}
	h.Network().Notify(c.notify)
	return c
}

// Close ends all connections.
func (c *Client) Close() {
	c.table.close()
	c.host.Network().StopNotify(c.notify)
}

// Serve forwards the connections of a listener until the listener is closed, and returns when they
// have ended.
func (c *Client) Serve(l net.Listener) {
	var forwarding sync.WaitGroup
	defer forwarding.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // as when there are no file descriptors left
			c.refuse(Event{Peer: c.to, Service: c.service}, true, err)
			time.Sleep(acceptPause)
			continue
		}
		forwarding.Go(func() {
			_ = c.Forward(tcpEnd{conn.(*net.TCPConn)}, conn.RemoteAddr().String()) // it is recorded
		})
	}
}

// Forward forwards a connection of a local client, until it has ended.
func (c *Client) Forward(end End, client string) error {
	event := Event{Peer: c.to, Service: c.service, Client: client}
	e, ok := c.table.add()
	if !ok {
		_ = end.Reset()
		err := &Refusal{StatusBusy, ""}
		c.refuse(event, true, err)
		return err
	}
	defer c.table.remove(e)
	s, err := c.open(e)
	if err != nil {
		_ = end.Reset()
		c.refuse(event, true, err)
		return err
	}
	event.Relayed = conns.IsRelayed(s.Conn())
	return c.carry(e.ctx, s, end, event, "the client")
}

// open opens a stream that is connected to the service. While connections to the peer turn out to
// be dead, it tries another one.
func (c *Client) open(e *entry) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(e.ctx, openTimeout)
	defer cancel()
	for {
		conn, err := c.dial(ctx)
		if err != nil {
			return nil, err
		}
		s, err := request(ctx, conn, c.service)
		if err == nil {
			c.table.depends(e, conn)
			return s, nil
		}

		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			return nil, err
		case unsupported(err):
			return nil, errors.New("the other side is no forward serve")
		case ctx.Err() != nil:
			return nil, fmt.Errorf("the other side does not answer: %w", ctx.Err())
		case !conn.IsClosed():
			return nil, err
		}
	}
}

// request opens a stream on a connection, and asks for a service.
func request(ctx context.Context, conn network.Conn, service string) (network.Stream, error) {
	s, err := conns.Open(ctx, conn, Protocol)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	if err = writeRequest(s, service); err == nil {
		err = readAnswer(s)
	}
	if err != nil {
		_ = s.Reset()
		return nil, err
	}
	return s, nil
}
