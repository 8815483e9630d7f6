package soak

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["relay"] = relayRole
	roles["stun"] = stunRole
}

const relayPort = 4001

type relayConfig struct {
	Key  []byte // its identity, which outlives the process
	Addr netip.Addr
}

// relayRole is a stock go-libp2p host that relays. It is not what is tested, and has no limits.
func relayRole(c *labtest.Child) error {
	var cfg relayConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	key, err := crypto.UnmarshalPrivateKey(cfg.Key)
	if err != nil {
		return err
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%d", cfg.Addr, relayPort)),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	)
	if err != nil {
		return err
	}
	defer h.Close()
	resources := relay.DefaultResources()
	// The peers' ends of connections that a fault cut count until the relay notices.
	resources.MaxCircuits = 1024
	resources.Limit = nil
	r, err := relay.New(h, relay.WithResources(resources))
	if err != nil {
		return err
	}
	defer r.Close()
	if err := c.Emit(report{Ready: true}); err != nil {
		return err
	}
	return c.UntilEnd()
}

// stunRole is our STUN server, with two addresses and two ports.
func stunRole(c *labtest.Child) error {
	var addrs [2]netip.AddrPort
	if err := c.Config(&addrs); err != nil {
		return err
	}
	server := stun.NewServer(&stun.ServerConfig{Addresses: addrs})
	defer server.Close()
	for _, a := range addrs {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", a.Port()))
		if err != nil {
			return err
		}
		go server.Serve(l)
	}
	if err := c.Emit(report{Ready: true}); err != nil {
		return err
	}
	return c.UntilEnd()
}
