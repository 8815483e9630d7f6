package transport

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestRelayedConnectionBecomesDirect shows what libp2p sees of the main job.
func TestRelayedConnectionBecomesDirect(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	relayed := connectRelayed(t, relay, a, b)

	ctx := testContext(t)
	out, err := DirectConnect(ctx, b, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	in, err := DirectConnect(ctx, a, b.ID())
	if err != nil {
		t.Fatal(err)
	}
	if out.Stat().Direction != network.DirOutbound || in.Stat().Direction != network.DirInbound {
		t.Errorf("%s at the initiator and %s at the responder, want outbound and inbound", out.Stat().Direction, in.Stat().Direction)
	}
	for _, c := range []network.Conn{out, in} {
		if c.Stat().Limited || isRelayed(c) {
			t.Errorf("%v is not direct", c)
		}
		if c.ConnState().Security == "" || c.ConnState().StreamMultiplexer == "" {
			t.Errorf("connection is %+v, want it secured and multiplexed", c.ConnState())
		}
		if _, ok := fromMultiaddr(c.RemoteMultiaddr()); !ok {
			t.Errorf("remote address %s, want one of the peer's ports", c.RemoteMultiaddr())
		}
	}
	if got := b.Network().Connectedness(a.ID()); got != network.Connected {
		t.Errorf("connectedness %s, want connected", got)
	}
	if relayed.IsClosed() {
		t.Error("the relayed connection was closed")
	}
	// A stream without further ado goes over the direct connection.
	a.SetStreamHandler("/test", func(s network.Stream) { s.Close() })
	s, err := b.NewStream(ctx, a.ID(), "/test")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if isRelayed(s.Conn()) {
		t.Error("a stream goes over the relay")
	}
	wantNoSimopenAddr(t, a, b)
	wantNoSimopenAddr(t, b, a)
}

// wantNoSimopenAddr checks which of its addresses h advertises, and which of them peer keeps.
func wantNoSimopenAddr(t *testing.T, h, peer host.Host) {
	t.Helper()
	isOurs := func(a ma.Multiaddr) bool { return strings.Contains(a.String(), "simopen") }
	check := func(where string, addrs []ma.Multiaddr) {
		if i := slices.IndexFunc(addrs, isOurs); i >= 0 {
			t.Errorf("%s has %s", where, addrs[i])
		}
	}
	check("Addrs", h.Addrs())
	check("own peerstore", h.Peerstore().Addrs(h.ID()))
	// The swarm may have the connection a moment before the dial ends.
	eventually(t, "the peer's peerstore has no address of ours", func() bool {
		return !slices.ContainsFunc(peer.Peerstore().Addrs(h.ID()), isOurs)
	})
	for _, ps := range []peerstore.Peerstore{h.Peerstore(), peer.Peerstore()} {
		cab, ok := peerstore.GetCertifiedAddrBook(ps)
		if !ok {
			t.Fatal("no certified address book")
		}
		if e := cab.GetPeerRecord(h.ID()); e != nil {
			check("signed peer record", recordAddrs(t, e))
		}
	}
}

func recordAddrs(t *testing.T, e *record.Envelope) []ma.Multiaddr {
	r, err := e.Record()
	if err != nil {
		t.Fatal(err)
	}
	return r.(*peer.PeerRecord).Addrs
}

// The side that did not dial the relayed connection initiates, too.
func TestDirectConnectOverInboundRelayedConnection(t *testing.T) {
	t.Parallel()
	server := stuntest.New(t)
	relay := newBlindRelay(t)
	a := newPeer(t, Enable(WithSTUNServers(server)))
	for name, tc := range map[string]struct {
		opts []libp2p.Option
		want string // error; a connection without
	}{
		"peer without simopen": {nil, ErrPeerUnsupported.Error()},
		"peer with simopen":    {[]libp2p.Option{Enable(WithSTUNServers(server), WithOnRequestOnly())}, ""},
		"peer without address": {[]libp2p.Option{Enable(WithOnRequestOnly())}, holepunch.ErrNoAddress.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPeer(t, tc.opts...)
			connectRelayed(t, relay, a, b)
			c, err := DirectConnect(testContext(t), a, b.ID())
			switch {
			case tc.want != "":
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			case err != nil:
				t.Error(err)
			case c.Stat().Direction != network.DirOutbound:
				t.Errorf("direction %s, want outbound", c.Stat().Direction)
			}
		})
	}
}

// Both peers dialled the other through the relay, and both offer.
func TestGlare(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	ctx := testContext(t)
	reserve(t, relay, a)
	reserve(t, relay, b)
	errs := make(chan error, 2)
	go func() { errs <- a.Connect(ctx, circuitInfo(relay, b)) }()
	go func() { errs <- b.Connect(ctx, circuitInfo(relay, a)) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []struct{ host, peer host.Host }{{a, b}, {b, a}} {
		if _, err := DirectConnect(ctx, h.host, h.peer.ID()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectConnectNeedsARelayedConnection(t *testing.T) {
	t.Parallel()
	a := newPeer(t, Enable(WithSTUNServers("127.0.0.1:1")))
	b := newPeer(t)
	_, err := DirectConnect(testContext(t), a, b.ID())
	var e *Error
	if !errors.Is(err, ErrNoRelayedConn) || !errors.As(err, &e) || e.Peer != b.ID() {
		t.Fatalf("got %v, want ErrNoRelayedConn with the peer", err)
	}
	if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, ErrNotEnabled) {
		t.Fatalf("got %v, want ErrNotEnabled", err)
	}
	if _, err := find(a).Dial(testContext(t), simopenAddr, b.ID()); !errors.Is(err, ErrNoRelayedConn) {
		t.Fatalf("got %v, want ErrNoRelayedConn", err)
	}
	if _, err := find(a).Dial(testContext(t), ma.StringCast("/ip4/127.0.0.1/tcp/4001"), b.ID()); err == nil {
		t.Fatal("dialled an address of another transport")
	}
}

func TestDirectConnectReturnsWhatIsThere(t *testing.T) {
	t.Parallel()
	a, b := newHost(t, Enable()), newHost(t)
	if err := a.Connect(testContext(t), info(b)); err != nil {
		t.Fatal(err)
	}
	c, err := DirectConnect(testContext(t), a, b.ID())
	if err != nil || c.RemotePeer() != b.ID() {
		t.Fatalf("got %v, %v", c, err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "stuns:stun.example.org", "stun:example.org?transport=udp", "a:b:c"} {
		if h, err := libp2p.New(libp2p.NoListenAddrs, Enable(WithSTUNServers(bad))); err == nil {
			h.Close()
			t.Errorf("STUN server %q was accepted", bad)
		}
	}
}

func TestAttachOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, Enable())
	if err := Attach(h, find(h)); err == nil {
		t.Error("attached twice")
	}
	other := newByHand(t, h)
	if err := Attach(h, other); err == nil {
		t.Error("two transports in one host")
	}
	if _, err := other.Dial(context.Background(), simopenAddr, h.ID()); !errors.Is(err, ErrClosed) {
		t.Errorf("a transport that could not be attached: %v, want ErrClosed", err)
	}
	unattached := newByHand(t, h)
	if _, err := unattached.Dial(context.Background(), simopenAddr, h.ID()); !errors.Is(err, ErrNotEnabled) {
		t.Errorf("got %v, want ErrNotEnabled", err)
	}
	h.Close()
	if _, err := DirectConnect(testContext(t), h, newHost(t).ID()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// Closing the transport leaves the host as it would be without.
func TestCloseTransport(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	relayed := connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
	direct := directConn(b, a.ID())
	for range 2 {
		if err := find(b).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if direct.IsClosed() || relayed.IsClosed() {
		t.Error("a connection was closed with the transport")
	}
	direct.Close()
	if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// The end of the host is reported as that, whichever of its parts ends first.
func TestHostCloses(t *testing.T) {
	t.Parallel()
	for name, outbound := range map[string]bool{"over an outbound relayed connection": true, "over an inbound one": false} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			events := make(chan Event, 100)
			a, b := newPeer(t), newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithOnRequestOnly(), WithTracer(func(e Event) { events <- e })))
			offered := holdOffers(t, a)
			if outbound {
				connectRelayed(t, relay, a, b)
			} else {
				connectRelayed(t, relay, b, a)
			}
			failed := make(chan error)
			go func() {
				_, err := DirectConnect(context.Background(), b, a.ID())
				failed <- err
			}()
			<-offered
			b.Close()
			if err := <-failed; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
			close(events)
			for e := range events {
				if e.Kind == Finished && !errors.Is(e.Err, ErrClosed) {
					t.Errorf("the attempt ended with %v, want ErrClosed", e.Err)
				}
			}
		})
	}
}
