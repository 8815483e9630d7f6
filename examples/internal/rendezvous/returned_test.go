package rendezvous

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// TestReturned: of a peer that comes back, the connection that answers is kept, and the dead one is
// closed.
func TestReturned(t *testing.T) {
	s, err := Start(Config{Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	relay := s.Info()
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(addr ma.Multiaddr) host.Host {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.Identity(key), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: relay.ID, Addrs: []ma.Multiaddr{addr}}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	through, cut := startWire(t, relay.Addrs[0])
	first := connect(through)
	ended := make(chan network.Conn, 2)
	s.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { ended <- c }})
	dead := s.host.Network().ConnsToPeer(first.ID())[0]

	connect(relay.Addrs[0]) // both answer, and stay
	cut()
	connect(relay.Addrs[0])
	if c := <-ended; c != dead {
		t.Errorf("%v was closed, want %v", c, dead)
	}
	if n := len(s.host.Network().ConnsToPeer(first.ID())); n != 2 {
		t.Errorf("%d connections, want the two that answer", n)
	}
}

// startWire starts a proxy to an address. After cut is called it swallows all that comes.
func startWire(t *testing.T, to ma.Multiaddr) (_ ma.Multiaddr, cut func()) {
	t.Helper()
	target, err := manet.ToNetAddr(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	var moving sync.WaitGroup
	moving.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp4", target.String())
		if err != nil {
			return
		}
		defer far.Close()
		for _, w := range []struct{ dst, src net.Conn }{{far, near}, {near, far}} {
			moving.Go(func() {
				_, _ = io.Copy(wire{w.dst, gone}, w.src) // until the test ends
			})
		}
		<-t.Context().Done() // which ends before the cleanups are called
	})
	t.Cleanup(func() {
		l.Close()
		moving.Wait()
	})
	return addr, func() { close(gone) }
}

// A wire can be cut.
type wire struct {
	net.Conn
	gone <-chan struct{}
}

func (w wire) Write(b []byte) (int, error) {
	select {
	case <-w.gone:
		return len(b), nil
	default:
		return w.Conn.Write(b)
	}
}
