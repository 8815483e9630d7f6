package natpeer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

const someID = "12D3KooWNBgu298tLQiyYBJpGmbFWVTx1wj8m9GwceeeVUQpoqJQ"

// newRelay starts a relay at an address. It is closed at the end of the test, or before.
func newRelay(t *testing.T, key crypto.PrivKey, addr string) host.Host {
	t.Helper()
	h := newHost(t, libp2p.ListenAddrStrings(addr), libp2p.Identity(key))
	r, err := relay.New(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h
}

func newHost(t *testing.T, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestLinkFollowsRelay(t *testing.T) {
	t.Parallel()
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := "/ip4/127.0.0.1/tcp/" + tcptest.Free(t) // it is to be had again
	r := newRelay(t, key, addr)
	info := peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}
	member, caller := newHost(t, libp2p.NoListenAddrs, libp2p.EnableRelay()), newHost(t, libp2p.NoListenAddrs, libp2p.EnableRelay())

	link := NewLink(member, info, true)
	if err := link.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reports, ended := make(chan error, 64), make(chan struct{})
	go func() {
		defer close(ended)
		link.Keep(ctx, nil, func(err error) { reports <- err })
	}()
	defer func() {
		cancel()
		<-ended
	}()
	if err := DialThrough(t.Context(), caller, info, member.ID()); err != nil {
		t.Fatal(err)
	}

	r.Close()
	if err := <-reports; err == nil {
		t.Fatal("the relay is gone, and that is no failure")
	}
	newRelay(t, key, addr)
	for err := range reports {
		if err == nil {
			break
		}
	}
	_ = caller.Network().ClosePeer(member.ID())
	if err := DialThrough(t.Context(), caller, info, member.ID()); err != nil {
		t.Errorf("after the relay's restart: %v", err)
	}
}

func TestDialThroughExplains(t *testing.T) {
	t.Parallel()
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, key, "/ip4/127.0.0.1/tcp/0")
	info := peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}
	caller := newHost(t, libp2p.NoListenAddrs, libp2p.EnableRelay())
	nobody, err := peer.Decode(someID)
	if err != nil {
		t.Fatal(err)
	}
	if err := DialThrough(t.Context(), caller, info, nobody); !errors.Is(err, ErrNotThere) {
		t.Errorf("nobody there: %v", err)
	}
	r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := DialThrough(ctx, caller, info, nobody); err == nil || errors.Is(err, ErrNotThere) {
		t.Errorf("no relay: %v", err)
	}
}

// TestLinkHangUp: a relay that hangs up as soon as it is reached, as one without room does, is not
// reached again at once.
func TestLinkHangUp(t *testing.T) {
	t.Parallel()
	for name, reserve := range map[string]bool{"with a reservation": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _, err := crypto.GenerateEd25519Key(nil)
			if err != nil {
				t.Fatal(err)
			}
			r := newRelay(t, key, "/ip4/127.0.0.1/tcp/0")
			came := make(chan time.Time, 1024)
			r.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
				came <- time.Now()
				go c.Close()
			}})
			ctx, cancel := context.WithCancel(t.Context())
			h := newHost(t, libp2p.NoListenAddrs, libp2p.EnableRelay())
			link := NewLink(h, peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}, reserve)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				link.Keep(ctx, link.Reach(ctx), func(error) {})
			}()
			defer func() {
				cancel()
				<-ended
			}()
			first := <-came
			<-came
			if third := <-came; third.Sub(first) < firstRetry {
				t.Errorf("reached three times in %v", third.Sub(first))
			}
		})
	}
}
