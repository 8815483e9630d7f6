package tunnel

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A pair is a Server and a Client that are connected on loopback, and the address at which local
// clients come in.
type pair struct {
	t              *testing.T
	server, client host.Host
	Server         *Server
	Client         *Client
	local          string
	events         chan Event // of the Client

	closeOnce sync.Once
	close     func()
}

type pairConfig struct {
	services map[string]string
	allow    map[peer.ID]bool
	service  string
}

// newPair makes a pair. It ends with the test.
func newPair(t *testing.T, cfg pairConfig) *pair {
	t.Helper()
	p := &pair{t: t, server: newTestHost(t), client: newTestHost(t), events: make(chan Event, 4096)}
	p.Server = Serve(p.server, cfg.services, cfg.allow, func(Event) {}, nil)
	dial := func(ctx context.Context) (network.Conn, error) {
		p.client.Peerstore().AddAddrs(p.server.ID(), p.server.Addrs(), time.Hour)
		return p.client.Network().DialPeer(ctx, p.server.ID())
	}
	p.Client = NewClient(p.client, p.server.ID(), cfg.service, dial, func(e Event) { p.events <- e }, nil)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.local = l.Addr().String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Client.Serve(l)
	}()
	p.close = func() {
		l.Close()
		p.Client.Close()
		<-ended
		p.Server.Close()
	}
	t.Cleanup(p.Close)
	return p
}

// Close ends both sides, as at the end of their programs.
func (p *pair) Close() { p.closeOnce.Do(p.close) }

// connect connects as a local client does.
func (p *pair) connect() *net.TCPConn {
	p.t.Helper()
	return connect(p.t, p.local)
}

// wantReset connects, and wants to be reset at once.
func (p *pair) wantReset() {
	p.t.Helper()
	c, err := net.Dial("tcp4", p.local)
	if errors.Is(err, syscall.ECONNRESET) {
		return // sooner than the dial has looked
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	wantReset(p.t, c.(*net.TCPConn))
}

// event waits for an event of the Client, before the connection has ended in another way.
func (p *pair) event(kind Kind) Event {
	p.t.Helper()
	for e := range p.events {
		switch e.Kind {
		case kind:
			return e
		case Refused, Closed:
			p.t.Fatalf("want event %s, got %+v", kind, e)
		}
	}
	return Event{}
}

func newTestHost(t *testing.T) host.Host {
	t.Helper()
	rm, err := newResourceManager()
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.ResourceManager(rm), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func connect(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// serve starts a service on loopback that calls handle for each connection, and returns its
// address. The service ends with the test.
func serve(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// echo sends back what comes, and ends when that does.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, struct{ io.Reader }{c})
}

// entries returns the connections in a table.
func (t *table) entries() []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.open))
}
