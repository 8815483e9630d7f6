package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	libp2pPort = 4001
	stunPort   = 3478 // at the first address, and the next at the second

	// observers are the public hosts that a peer is connected to besides the relay. A go-libp2p
	// host believes an address of its own that four see (observedaddrs, ActivationThresh).
	observers = 3
)

func (r *publicRole) play(ctx context.Context, self *actor.Self) error {
	var w world
	h, err := r.host(r.Relay[0])
	if err != nil {
		return err
	}
	defer h.Close()
	// By itself, for libp2p.EnableRelayService waits until AutoNAT has found the host to be public.
	service, err := relay.New(h, relay.WithInfiniteLimits())
	if err != nil {
		return err
	}
	defer service.Close()
	w.Relay = peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	for _, a := range r.Observers {
		h, err := r.host(a)
		if err != nil {
			return err
		}
		defer h.Close()
		w.Observers = append(w.Observers, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	}
	// With two addresses it can report everything about a NAT.
	at := [2]netip.AddrPort{netip.AddrPortFrom(r.Relay[0], stunPort), netip.AddrPortFrom(r.Relay[1], stunPort+1)}
	server, err := stunserver.Start(&stun.ServerConfig{Addresses: at}, stunserver.Endpoints(at[0], at[1]))
	if err != nil {
		return err
	}
	defer server.Close()
	w.STUN = []string{at[0].String(), at[1].String()}
	self.Say(message{World: &w})
	select {
	case err := <-server.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

// host returns a go-libp2p host at an address, with the one transport that is needed.
func (r *publicRole) host(a netip.Addr) (host.Host, error) {
	listen, transport := fmt.Sprintf("/ip4/%s/tcp/%d", a, libp2pPort), libp2p.Transport(tcp.NewTCPTransport)
	if r.QUIC {
		listen, transport = fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", a, libp2pPort), libp2p.Transport(quic.NewTransport)
	}
	return libp2p.New(
		libp2p.ListenAddrStrings(listen),
		transport,
		libp2p.ForceReachabilityPublic(),
		// The usual one bounds how many connections a second come from an address.
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableMetrics(),
	)
}
