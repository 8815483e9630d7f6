package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// shutdownTime bounds the relay's orderly end.
const shutdownTime = time.Second

// A role is what an actor's process is told to do.
type role struct {
	Name    string `json:"name"`
	Verbose bool   `json:"verbose"`

	Listen ma.Multiaddr `json:"listen,omitempty"` // of the relay: where
	STUN   string       `json:"stun,omitempty"`   // of the relay: where it serves STUN
	// STUN2 are two addresses and ports of the relay, instead of STUN. With both its server
	// supports every test of a NAT.
	STUN2 []netip.AddrPort `json:"stun2,omitempty"`

	Pair   *natpeer.Config `json:"pair,omitempty"`   // of the peers
	Target peer.ID         `json:"target,omitempty"` // of alice
	Bytes  int64           `json:"bytes,omitempty"`  // of alice
}

// A message is what an actor says, one a line of its standard output.
type message struct {
	Serving *natpeer.Config `json:"serving,omitempty"` // the relay: how to get here
	Event   *pair.Event     `json:"event,omitempty"`
	Report  *pair.Report    `json:"report,omitempty"` // alice: the end
}

// play runs the actor.
func play(ctx context.Context, self *actor.Self) error {
	var r role
	if err := self.Spec(&r); err != nil {
		return err
	}
	console.Log(r.Verbose)
	return r.run(ctx, func(m message) { self.Say(m) })
}

func (r role) run(ctx context.Context, say func(message)) error {
	event := func(e pair.Event) { say(message{Event: &e}) }
	switch r.Name {
	case relayName:
		return r.serve(ctx, say)
	case bobName:
		return pair.Listen(ctx, *r.Pair, event)
	case aliceName:
		report := pair.Dial(ctx, *r.Pair, r.Target, r.Bytes, event)
		say(message{Report: &report})
		return nil
	}
	return fmt.Errorf("no role %q", r.Name)
}

func (r role) serve(ctx context.Context, say func(message)) error {
	limits := rendezvous.DefaultLimits()
	limits.Relay.Limit = nil // for the rate over the relay
	server, err := rendezvous.Start(rendezvous.Config{Listen: []ma.Multiaddr{r.Listen}, STUN: r.STUN, Limits: &limits})
	if err != nil {
		return err
	}
	var servers []string
	var stunFailed <-chan error
	if r.STUN2 == nil {
		servers = []string{server.STUNAddr().String()}
	} else {
		s, err := stunserver.Start(&stun.ServerConfig{Addresses: [2]netip.AddrPort(r.STUN2)}, stunserver.Endpoints(r.STUN2[0], r.STUN2[1]))
		if err != nil {
			return errors.Join(err, server.Shutdown(ctx))
		}
		defer s.Close()
		servers, stunFailed = []string{r.STUN2[0].String(), r.STUN2[1].String()}, s.Failed()
	}
	say(message{Serving: &natpeer.Config{Relay: server.Info(), STUN: servers}})
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
