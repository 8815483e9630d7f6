package transport

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	tcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// New has no side effects, so it can be a constructor in hosts that run it
// several times: AutoNAT makes further swarms and hosts with it.
func TestNewAsConstructor(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	constructed := func() host.Host {
		h := newPeer(t,
			libp2p.Transport(tcp.NewTCPTransport),
			libp2p.Transport(New, servers),
			libp2p.EnableNATService(),
			libp2p.EnableAutoNATv2(),
		)
		if err := Attach(h, find(h)); err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b := constructed(), constructed()
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
}

// The transport comes and goes without a trace, in a host of any make.
func TestEnableInHosts(t *testing.T) {
	for name, opts := range map[string][]libp2p.Option{
		"default transports": {},
		"NAT service":        {libp2p.EnableNATService()},
		"AutoNAT v2":         {libp2p.EnableAutoNATv2()},
		"hole punching":      {libp2p.EnableHolePunching()},
		"no relay":           {libp2p.DisableRelay()},
		"TCP alone":          {libp2p.Transport(tcp.NewTCPTransport)},
	} {
		t.Run(name, func(t *testing.T) {
			wantNothingLeft(t, func() {
				h, err := libp2p.New(append(opts, libp2p.DisableMetrics(), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), Enable())...)
				if err != nil {
					t.Fatal(err)
				}
				wantNoSimopenAddr(t, h, h)
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A host that does not come up leaves nothing of ours behind. (Of go-libp2p's it
// leaves some goroutines.)
func TestFailedHostLeavesNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, opts := range map[string][]libp2p.Option{
		"address taken": {libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/" + itoa(uint16(taken.Addr().(*net.TCPAddr).Port))), Enable()},
		"ours":          {libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/simopen"), Enable()},
	} {
		t.Run(name, func(t *testing.T) {
			wantNothingLeft(t, func() {
				h, err := libp2p.New(append(opts, libp2p.DisableMetrics())...)
				if err == nil {
					h.Close()
					t.Error("the host came up")
				}
			})
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			for _, ours := range []string{"transport.(*warmPort)", "transport.(*watcher)", "tcpport.(*Port)"} {
				if bytes.Contains(stacks, []byte(ours)) {
					t.Errorf("goroutines of %s are left", ours)
				}
			}
		})
	}
}

// The peer has more addresses that do not answer than the resource manager
// allows connections to it.
func TestOtherAddressesDoNotMatter(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	for name, opts := range map[string][]libp2p.Option{
		"default":       {Enable(servers)},
		"swarm options": {Enable(servers), libp2p.SwarmOpts(swarm.WithDialTimeout(time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, opts...)
			for range 12 {
				silent, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
				b.Peerstore().AddAddr(a.ID(), ma.StringCast("/ip4/127.0.0.1/tcp/"+itoa(uint16(silent.Addr().(*net.TCPAddr).Port))), time.Hour)
			}
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A host's own dial ranker is kept, whatever the order of the options.
func TestOwnDialRanker(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	for name, order := range map[string]func(own, enable libp2p.Option) []libp2p.Option{
		"before Enable": func(own, enable libp2p.Option) []libp2p.Option { return []libp2p.Option{own, enable} },
		"after Enable":  func(own, enable libp2p.Option) []libp2p.Option { return []libp2p.Option{enable, own} },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Bool
			own := libp2p.SwarmOpts(swarm.WithDialRanker(func(addrs []ma.Multiaddr) []network.AddrDelay {
				asked.Store(true)
				return swarm.DefaultDialRanker(addrs)
			}))
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, order(own, Enable(servers))...)
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
			if !asked.Load() {
				t.Error("it was not asked")
			}
			if !find(b).ranked.missing.Load() {
				t.Error("and we did not notice that ours is not")
			}
		})
	}
}
