package transport

import (
	"bytes"
	"net"
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	tcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"go.uber.org/fx"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// New and Attach are for hosts that are put together by hand.
func TestNewAndAttach(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	byHand := func() host.Host {
		h := newPeer(t, libp2p.EnableNATService(), libp2p.EnableAutoNATv2())
		if err := Attach(h, newByHand(t, h, servers)); err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b := byHand(), byHand()
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
}

// The user's own decorator of what the swarm is made from is no hindrance.
func TestEnableBesideDecorator(t *testing.T) {
	t.Parallel()
	decorator := libp2p.WithFxOption(fx.Decorate(func(b event.Bus) event.Bus { return b }))
	for name, opts := range map[string][]libp2p.Option{
		"before Enable": {decorator, Enable()},
		"after Enable":  {Enable(), decorator},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, opts...)
			if err := h.Connect(testContext(t), info(newHost(t))); err != nil {
				t.Fatal(err)
			}
			if !find(h).swarm.ranks.Load() {
				t.Error("the swarm does not ask our ranker")
			}
		})
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

// A host that does not come up leaves nothing of ours behind. (Of go-libp2p's it leaves some
// goroutines.)
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
			for _, ours := range []string{"transport.(*upgradeDriver)", "transport.(*Transport)", "holepunch.(*Agent)", "tcpport.(*Port)"} {
				if bytes.Contains(stacks, []byte(ours)) {
					t.Errorf("goroutines of %s are left", ours)
				}
			}
		})
	}
}
