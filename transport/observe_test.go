package transport

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	tcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// newRelayAt makes a relay that listens at an address.
func newRelayAt(t testing.TB, addr string, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.ListenAddrStrings(addr), libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	r, err := relay.New(h, relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h
}

// newBlindRelay makes a relay that cannot be asked over TCP.
func newBlindRelay(t testing.TB) host.Host {
	t.Helper()
	return newRelayAt(t, "/ip4/127.0.0.1/tcp/0/ws")
}

// eventually waits for what the event that brings it about does not tell.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", testTimeout, what)
		}
	}
}

// strangers returns the peers of a relay that are not known.
func strangers(relay host.Host, known ...host.Host) []peer.ID {
	return slices.DeleteFunc(relay.Network().Peers(), func(p peer.ID) bool {
		return slices.ContainsFunc(known, func(h host.Host) bool { return h.ID() == p })
	})
}

// newByHand makes a transport for a host that was built without.
func newByHand(t testing.TB, h host.Host, opts ...Option) *Transport {
	t.Helper()
	key := h.Peerstore().PrivKey(h.ID())
	withTLS, err := libp2ptls.New(libp2ptls.ID, key, testMuxers)
	if err != nil {
		t.Fatal(err)
	}
	withNoise, err := noise.New(noise.ID, key, testMuxers)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New([]sec.SecureTransport{withTLS, withNoise}, testMuxers, nil, h.Network().ResourceManager(), nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// A relay is all that two hosts need, in networks of any make.
func TestRelayObserves(t *testing.T) {
	t.Parallel()
	const anyTCP = "/ip4/127.0.0.1/tcp/0"
	tcpAlone := libp2p.Transport(tcp.NewTCPTransport)
	for name, tc := range map[string]struct {
		relay string
		opts  []libp2p.Option // of all three
		peers []libp2p.Option // of the two
	}{
		"default":         {anyTCP, nil, []libp2p.Option{Enable()}},
		"private network": {anyTCP, []libp2p.Option{tcpAlone, libp2p.PrivateNetwork(bytes.Repeat([]byte{7}, 32))}, []libp2p.Option{Enable()}},
		"Noise alone":     {anyTCP, []libp2p.Option{libp2p.Security(noise.ID, noise.New)}, []libp2p.Option{Enable()}},
		"TLS alone":       {anyTCP, []libp2p.Option{libp2p.Security(libp2ptls.ID, libp2ptls.New)}, []libp2p.Option{Enable()}},
		"IPv6":            {"/ip6/::1/tcp/0", nil, []libp2p.Option{Enable()}},
		"by hand":         {anyTCP, nil, []libp2p.Option{tcpAlone}},
		"no server answers": {anyTCP, nil, []libp2p.Option{
			// Port 1 is tcpmux (RFC 1078), which no host runs.
			Enable(WithSTUNServers("127.0.0.1:1")),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := newRelayAt(t, tc.relay, tc.opts...)
			peers := append(slices.Clone(tc.opts), tc.peers...)
			a, b := newPeer(t, peers...), newPeer(t, peers...)
			if name == "by hand" {
				for _, h := range []host.Host{a, b} {
					if err := Attach(h, newByHand(t, h)); err != nil {
						t.Fatal(err)
					}
				}
			}
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
			for _, h := range []host.Host{a, b} {
				for _, p := range h.Peerstore().Peers() {
					if p != a.ID() && p != b.ID() && p != relay.ID() {
						t.Errorf("%s is in the peerstore", p)
					}
				}
			}
		})
	}
}

// The connection to the relay is by QUIC: it is asked where it listens on TCP.
func TestRelayOverQUICObserves(t *testing.T) {
	t.Parallel()
	relay := newRelayAt(t, "/ip4/127.0.0.1/udp/0/quic-v1")
	if err := relay.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	a, b := newPeer(t, Enable()), newPeer(t, Enable())
	for _, h := range []host.Host{a, b} {
		quic := peer.AddrInfo{ID: relay.ID(), Addrs: slices.DeleteFunc(relay.Addrs(), func(a ma.Multiaddr) bool {
			_, err := a.ValueForProtocol(ma.P_QUIC_V1)
			return err != nil
		})}
		if err := h.Connect(testContext(t), quic); err != nil {
			t.Fatal(err)
		}
	}
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
}

// A host's own ID for TLS is the one that its observers are asked with.
func TestObserverSecurityID(t *testing.T) {
	t.Parallel()
	const id = "/our-tls/1.0.0"
	own := libp2p.Security(id, libp2ptls.New)
	relay := newRelayAt(t, "/ip4/127.0.0.1/tcp/0", own)
	a, b := newPeer(t, own, Enable()), newPeer(t, own, Enable())
	connectRelayed(t, relay, a, b)
	c, err := DirectConnect(testContext(t), b, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnState().Security; got != id {
		t.Errorf("secured by %q, want %q", got, id)
	}
}

// A connection with a throw-away identity is there while an attempt needs it, is identified by the
// relay, and leaves nothing.
func TestObserverComesAndGoes(t *testing.T) {
	t.Parallel()
	relay, b := newRelay(t), newPeer(t, Enable(WithObservers(), WithSTUNServers(stuntest.New(t))))
	a := newLimited(t, 100, Enable())
	tellStrangers(t, relay, nil, a, b)
	seen := make(chan network.Conn, 100)
	relay.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if p := c.RemotePeer(); p != a.ID() && p != b.ID() {
			seen <- c
		}
	}})
	connectRelayed(t, relay, b, a)
	wantBothDirect(t, a, b)
	var c network.Conn
	select {
	case c = <-seen:
	default:
		t.Fatal("nobody has asked")
	}
	eventually(t, "the relay knows what the stranger is", func() bool {
		agent, err := relay.Peerstore().Get(c.RemotePeer(), "AgentVersion")
		return err == nil && strings.HasPrefix(agent.(string), "simopen")
	})
	if got := peerStat(t, a, relay.ID()); got.NumConnsOutbound != 2 || got.NumFD != 2 {
		t.Errorf("%+v, want 2 connections out", got)
	}
	eventually(t, "the stranger leaves", c.IsClosed)
	if len(seen) > 0 {
		t.Errorf("%d more have asked", len(seen))
	}

	// Without the relay there is nothing left.
	if err := a.Network().ClosePeer(relay.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the resource manager has everything back", func() bool {
		return peerStat(t, a, relay.ID()) == network.ScopeStat{}
	})
}

// TestWhoIsAsked: while a STUN server answers no relay is asked, and neither if the own connections
// show the address.
func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	t.Run("STUN first", func(t *testing.T) {
		relay := newRelay(t)
		a, b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)))), newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
		tellStrangers(t, relay, nil, a, b)
		connectRelayed(t, relay, a, b)
		if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
			t.Fatal(err)
		}
		if got := strangers(relay, a, b); len(got) > 0 {
			t.Errorf("the relay has connections of %v", got)
		}
	})
	t.Run("own connections", func(t *testing.T) {
		relay, a, b := newRelay(t), newPeer(t, Enable()), newPeer(t, Enable())
		reserve(t, relay, a)
		reserve(t, relay, b)
		for _, h := range []host.Host{a, b} {
			eventually(t, "its own connection shows the host's address", func() bool { return !find(h).agent.Asks() })
		}
		dialRelayed(t, relay, a, b)
		wantBothDirect(t, b, a)
		if got := strangers(relay, a, b); len(got) > 0 {
			t.Errorf("the relay has connections of %v", got)
		}
	})
	t.Run("no TCP", func(t *testing.T) {
		relay := newBlindRelay(t)
		a, b := newPeer(t, Enable()), newPeer(t, Enable())
		relayed := connectRelayed(t, relay, a, b)
		_, err := DirectConnect(testContext(t), b, a.ID())
		if !errors.Is(err, ErrNoSTUNServer) || !errors.Is(err, holepunch.ErrNoAddress) || !strings.Contains(err.Error(), "none to ask") {
			t.Errorf("got %v, want ErrNoSTUNServer, for there is nobody to ask", err)
		}
		wantUntouched(t, relayed)
	})
}

// testOneIsAsked: of many relays one is asked, which answers within its head start.
func testOneIsAsked(t *testing.T) {
	a, b := newPeer(t, Enable()), newPeer(t, Enable())
	var relays []host.Host
	for range maxRelays + 1 {
		relay := newRelay(t)
		tellStrangers(t, relay, nil, a, b)
		relays = append(relays, relay)
		if err := a.Connect(testContext(t), info(relay)); err != nil {
			t.Fatal(err)
		}
	}
	asked := func() (n int) {
		for _, r := range relays {
			n += len(strangers(r, a, b))
		}
		return n
	}
	if got := len(find(a).observers(0)); got != maxRelays {
		t.Errorf("%d relays may be asked, want %d", got, maxRelays)
	}
	connectRelayed(t, relays[0], b, a)
	wantBothDirect(t, a, b)
	if got := asked(); got == 0 || got > 2 {
		t.Errorf("%d connections of two hosts, want one or two", got)
	}
}
