package transport

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestStrangerTakesNoRoom: where resource limits have room for one connection, it is the peer's, whatever
// strangers at its address do.
func TestStrangerTakesNoRoom(t *testing.T) {
	for name, dir := range map[string]network.Direction{"initiator": network.DirOutbound, "responder": network.DirInbound} {
		t.Run(name, func(t *testing.T) {
			us, ours := upgradeSide(t, []string{noise.ID}, nil)
			p, theirs := upgradeSide(t, []string{noise.ID}, nil)
			ours.rcmgr = &roomForOne{taken: make(chan struct{})}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			shake := ours.shake(p, dir, nil, cancel)

			stranger, speaks := connected(t)
			stranger.Candidate = false
			over := make(chan struct{})
			go func() {
				defer close(over)
				if c, err := shake(ctx, stranger); err == nil {
					t.Error("a stranger is secured")
					c.Close()
				}
			}()
			defer func() { cancel(nil); <-over }()
			io.WriteString(speaks, consent[:20]) // half of it, to either side
			if _, err := io.ReadFull(speaks, make([]byte, 20)); err != nil {
				t.Fatal(err)
			}

			conn, other := connected(t)
			theirDir := network.DirInbound + network.DirOutbound - dir
			served := make(chan tpt.CapableConn, 1)
			go func() {
				defer close(served)
				m, err := manet.WrapNetConn(other)
				if err != nil {
					t.Error(err)
					return
				}
				c, err := theirs.upgrader.Upgrade(context.Background(), nil, m, theirDir, us, &network.NullScope{})
				if err != nil {
					t.Error(err)
					return
				}
				served <- c
			}()
			c, err := shake(ctx, conn)
			if err != nil {
				t.Fatalf("%v (%v)", err, context.Cause(ctx))
			}
			defer c.Close()
			if s := <-served; s != nil {
				s.Close()
			}
		})
	}
}

// connected is a connection to a candidate, and its other end.
func connected(t *testing.T) (*holepunch.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return &holepunch.Conn{TCPConn: a.(*net.TCPConn), Candidate: true}, b
}
