package transport

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// testTimeout ends a test that waits for what does not come. It is far more than
// any test needs on a slow machine.
const testTimeout = time.Minute

// briefTimeout is for attempts that fail only when their time is over. It leaves time for a SYN
// that is lost and repeated.
const briefTimeout = 4 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// newHost makes a host on loopback that is closed when the test ends.
func newHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append([]libp2p.Option{
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.DisableMetrics(),
		libp2p.SwarmOpts(swarm.WithDialTimeoutLocal(testTimeout)), // in place of 5 s: the machine may be busy
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// newPeer makes a host that listens on nothing but relayed connections, so that
// the only direct connections to it are ours.
func newPeer(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	return newHost(t, append([]libp2p.Option{libp2p.NoListenAddrs, libp2p.EnableRelay()}, opts...)...)
}

// newRelay makes a circuit v2 relay without limits of data and time.
func newRelay(t testing.TB) host.Host {
	t.Helper()
	h := newHost(t)
	r, err := relay.New(h, relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h
}

func info(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// reserve has h ask relay for a reservation.
func reserve(t testing.TB, relay, h host.Host) {
	t.Helper()
	ctx := testContext(t)
	if err := h.Connect(ctx, info(relay)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(ctx, h, info(relay)); err != nil {
		t.Fatal(err)
	}
}

// circuitInfo is where h is found through relay.
func circuitInfo(relay, h host.Host) peer.AddrInfo {
	circuit := ma.StringCast("/p2p/" + relay.ID().String() + "/p2p-circuit")
	ai := peer.AddrInfo{ID: h.ID()}
	for _, a := range relay.Addrs() {
		ai.Addrs = append(ai.Addrs, a.Encapsulate(circuit))
	}
	return ai
}

// connectRelayed has dialler connect to listener through relay, and returns the
// relayed connection as dialler has it.
func connectRelayed(t testing.TB, relay, listener, dialler host.Host) network.Conn {
	t.Helper()
	reserve(t, relay, listener)
	return dialRelayed(t, relay, listener, dialler)
}

func dialRelayed(t testing.TB, relay, listener, dialler host.Host) network.Conn {
	t.Helper()
	if err := dialler.Connect(testContext(t), circuitInfo(relay, listener)); err != nil {
		t.Fatal(err)
	}
	c := relayedConn(dialler, listener.ID())
	if c == nil {
		t.Fatal("no relayed connection")
	}
	return c
}

func itoa(n uint16) string { return strconv.Itoa(int(n)) }

// directConn returns a connection to p that no relay carries, or nil.
func directConn(h host.Host, p peer.ID) network.Conn {
	for _, c := range h.Network().ConnsToPeer(p) {
		if !c.IsClosed() && !isRelayed(c) {
			return c
		}
	}
	return nil
}
