package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A conn is a direct connection.
type conn struct {
	network.MuxedConn
	network.ConnSecurity
	transport *Transport
	tcp       tcpConn // below security
	scope     network.ConnManagementScope
	scopeDone sync.Once
	state     network.ConnectionState

	// decided ends when the swarm uses the connection or closes it; gated: it has closed it because
	// the gater refused it.
	decided context.Context
	decide  context.CancelFunc
	gated   atomic.Bool

	held atomic.Pointer[time.Time] // see holdStreams; nil: never
}

var _ tpt.CapableConn = (*conn)(nil)

// setOptions sets the options of the TCP connection, if it was chosen.
func (c *conn) setOptions() {
	if tcp := c.tcp.TCPConn(); tcp != nil {
		tcpport.SetKeepAlive(tcp)
		c.resetOnClose()
	}
}

// resetOnClose makes the connection end with a RST, as those of go-libp2p's TCP transport do, if it
// was chosen: a FIN leaves the 4-tuple in TIME-WAIT for a minute, in which the same two ports
// cannot be punched again.
func (c *conn) resetOnClose() {
	if tcp := c.tcp.TCPConn(); tcp != nil {
		tcp.SetLinger(0)
	}
}

// defaultNoticeTime is more than the end of a relayed connection takes to the peer, on nearly any
// path.
const defaultNoticeTime = 500 * time.Millisecond

// holdStreams has this host open and accept no stream for noticeTime of the config. It is called
// when a relayed connection is closed that has streams. Its end and the streams that take the place
// of these go different ways, and the direct one is shorter. An application that sees a new stream
// before the old one's end may take the end for the new one's: GossipSub forgets then what the
// other host has subscribed to. That holds for the peer's applications, and for this host's own if
// they are busy.
func (c *conn) holdStreams() {
	until := time.Now().Add(c.transport.cfg.noticeTime)
	c.held.Store(&until)
}

// awaitStreams waits until no streams are held any more.
func (c *conn) awaitStreams(ctx context.Context) error {
	for until := c.held.Load(); until != nil && time.Now().Before(*until); until = c.held.Load() {
		select {
		case <-time.After(time.Until(*until)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// OpenStream opens a stream, when none are held any more.
func (c *conn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	if err := c.awaitStreams(ctx); err != nil {
		return nil, err
	}
	return c.MuxedConn.OpenStream(ctx)
}

// AcceptStream accepts a stream, when none are held any more. The swarm calls it from the moment on
// when it has the connection.
func (c *conn) AcceptStream() (network.MuxedStream, error) {
	c.decide()
	s, err := c.MuxedConn.AcceptStream()
	if err == nil {
		_ = c.awaitStreams(context.Background()) // Close of the host may wait as long
	}
	return s, err
}

// Close closes the connection. It must be called even if the peer has closed it.
func (c *conn) Close() error {
	c.resetOnClose() // a responder's connection may be closed as soon as it is chosen
	c.decide()
	defer c.scopeDone.Do(c.scope.Done)
	return c.MuxedConn.Close()
}

// CloseWithError is Close with a code that is sent to the peer.
func (c *conn) CloseWithError(code network.ConnErrorCode) error {
	c.gated.Store(code == network.ConnGated)
	c.resetOnClose()
	c.decide()
	defer c.scopeDone.Do(c.scope.Done)
	return c.MuxedConn.CloseWithError(code)
}

// Before the initiator's choice the addresses are those of the responder's first TCP connection,
// and may change once.

func (c *conn) LocalMultiaddr() ma.Multiaddr  { return netMultiaddr(c.tcp.LocalAddr()) }
func (c *conn) RemoteMultiaddr() ma.Multiaddr { return netMultiaddr(c.tcp.RemoteAddr()) }

func (c *conn) Transport() tpt.Transport           { return c.transport }
func (c *conn) Scope() network.ConnScope           { return c.scope }
func (c *conn) ConnState() network.ConnectionState { return c.state }

func (c *conn) String() string {
	return fmt.Sprintf("<simopen %s (%s) <-> %s (%s)>", c.LocalMultiaddr(), c.LocalPeer(), c.RemoteMultiaddr(), c.RemotePeer())
}

// As finds the connection behind the swarm's.
func (c *conn) As(target any) bool {
	if t, ok := target.(**conn); ok {
		*t = c
		return true
	}
	return c.MuxedConn.As(target)
}

// tcpOf returns the TCP connection of a connection of this transport, or nil.
func tcpOf(c network.Conn) *net.TCPConn {
	var own *conn
	if !c.As(&own) {
		return nil
	}
	return own.tcp.TCPConn()
}

// A tcpConn is what is below security: a [holepunch.Conn]. TCPConn is nil before it was chosen.
type tcpConn interface {
	net.Conn
	TCPConn() *net.TCPConn
}
