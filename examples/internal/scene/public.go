package scene

import (
	"context"
	"errors"
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// shutdownTime bounds the relay's orderly end.
const shutdownTime = time.Second

// Public is what a process in the relay's host has to serve. It can be sent as JSON.
type Public struct {
	Listen    ma.Multiaddr `json:"listen"` // of the relay
	STUN      string       `json:"stun"`   // of a simple STUN server; "" for none
	Unlimited bool         `json:"unlimited"`
	// STUN2 are two addresses and ports of the relay, instead of STUN. With both its server
	// supports every test of a NAT.
	STUN2 []netip.AddrPort `json:"stun2,omitempty"`
}

// Serve serves until ctx ends. It calls ready when peers may come, with how they get here.
func (p Public) Serve(ctx context.Context, ready func(natpeer.Config)) error {
	limits := rendezvous.DefaultLimits()
	if p.Unlimited {
		limits.Relay.Limit = nil
	}
	server, err := rendezvous.Start(rendezvous.Config{Listen: []ma.Multiaddr{p.Listen}, STUN: p.STUN, Limits: &limits})
	if err != nil {
		return err
	}
	var servers []string
	var stunFailed <-chan error
	if p.STUN2 == nil {
		servers = []string{server.STUNAddr().String()}
	} else {
		s, err := stunserver.Start(&stun.ServerConfig{Addresses: [2]netip.AddrPort(p.STUN2)}, stunserver.Endpoints(p.STUN2[0], p.STUN2[1]))
		if err != nil {
			return errors.Join(err, server.Shutdown(ctx))
		}
		defer s.Close()
		servers, stunFailed = []string{p.STUN2[0].String(), p.STUN2[1].String()}, s.Failed()
	}
	ready(natpeer.Config{Relay: server.Info(), STUN: servers})
	select {
	case err = <-server.Failed():
	case err = <-stunFailed:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	_ = server.Shutdown(ctx) // the process ends anyway
	return err
}
