package pair

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

func newHost(t *testing.T, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestTransferEnds: the receiver reports a transfer that was whole, and one that was cut.
func TestTransferEnds(t *testing.T) {
	events := make(chan Event, 1)
	listener := &node{
		Host:   newHost(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")),
		report: func(e Event) { events <- e },
	}
	listener.attempts = newAttempts(listener.tell)
	began := make(chan struct{}, 1)
	listener.SetStreamHandler(transferProtocol, func(s network.Stream) {
		began <- struct{}{}
		listener.receive(s)
	})
	dialler := newHost(t, libp2p.NoListenAddrs)
	ctx := context.Background()
	if err := dialler.Connect(ctx, peer.AddrInfo{ID: listener.ID(), Addrs: listener.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []bool{false, true} {
		s, err := dialler.NewStream(ctx, listener.ID(), transferProtocol)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("data")); err != nil {
			t.Fatal(err)
		}
		<-began // before a reset can overtake the protocol's name
		if cut {
			s.Reset()
		} else {
			s.CloseWrite()
		}
		if e := <-events; e.Kind != Received || (e.Err != "") != cut || !cut && e.Bytes != 4 {
			t.Errorf("cut: %v, got %+v", cut, e)
		}
		s.Reset()
	}
}
