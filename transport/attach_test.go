package transport

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	tcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
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
