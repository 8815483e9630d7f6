package crowd

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["relay"] = relayRole }

const (
	relayPort = 4001
	stunPort  = 3478 // and the next, at the second address
)

type relayConfig struct {
	Key   []byte // its identity, which outlives the process
	Addrs [2]netip.Addr
}

func (c relayConfig) stun() (a [2]netip.AddrPort) {
	for i := range a {
		a[i] = netip.AddrPortFrom(c.Addrs[i], stunPort+uint16(i))
	}
	return a
}

// relayRole is a relay with our STUN server beside it, as docs/operations.md has one for many
// peers: it limits connections in time and data, and not in number.
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
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%d", cfg.Addrs[0], relayPort)),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
	)
	if err != nil {
		return err
	}
	defer h.Close()
	resources := relay.DefaultResources()
	resources.MaxReservations = 1 << 20
	resources.MaxReservationsPerIP = 1 << 20
	resources.MaxReservationsPerASN = 1 << 20
	resources.MaxCircuits = 1 << 20
	r, err := relay.New(h, relay.WithResources(resources))
	if err != nil {
		return err
	}
	defer r.Close()
	addrs := cfg.stun()
	server := stun.NewServer(&stun.ServerConfig{Addresses: addrs, MaxConns: 1 << 20})
	defer server.Close()
	for _, a := range addrs {
		l, err := net.Listen("tcp4", a.String())
		if err != nil {
			return err
		}
		go server.Serve(l)
	}
	return serve(c, func(command) (any, error) { return use(), nil })
}
