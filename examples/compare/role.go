package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// A role is what an actor's process has to do.
type role struct {
	Public *publicRole `json:",omitempty"`
	Peer   *peerRole   `json:",omitempty"`
}

// A publicRole is the role of the public hosts: a relay with a STUN server at two addresses, and
// other libp2p hosts.
type publicRole struct {
	Relay     [2]netip.Addr // the relay is at the first
	Observers []netip.Addr  // a host at each
	QUIC      bool          // instead of TCP
}

// A peerRole is one of the two peers.
type peerRole struct {
	Impl   result.Impl
	Public bool // it has a public address, and knows it
	World  world
}

// A world is how to reach what a publicRole serves.
type world struct {
	Relay     peer.AddrInfo
	Observers []peer.AddrInfo
	STUN      []string // host:port
}

// A message is what an actor says.
type message struct {
	World   *world   `json:",omitempty"` // the world is ready
	Ready   *peer.ID `json:",omitempty"` // the peer is, with all that it can know beforehand
	Relayed bool     `json:",omitempty"` // the dialler's relayed connection is up
	Over    *string  `json:",omitempty"` // the listener gave up, and why
	Outcome *outcome `json:",omitempty"` // of the dialler

	Direct *time.Time `json:",omitempty"` // when the listener had a direct connection
}

// An outcome is what the dialler got.
type outcome struct {
	OK     bool
	Began  time.Time     // when the relayed connection was up
	Took   time.Duration // since then
	Reason string
}

// A command is what is sent to a peer.
type command struct {
	Dial   peer.ID `json:",omitempty"` // to dial it
	GiveUp string  `json:",omitempty"` // the listener gave up, and why
}

func play(ctx context.Context, self *actor.Self) error {
	var r role
	if err := self.Spec(&r); err != nil {
		return err
	}
	console.Log(false)
	switch {
	case r.Public != nil:
		return r.Public.play(ctx, self)
	case r.Peer != nil:
		return r.Peer.play(ctx, self)
	}
	return errors.New("no such role")
}
