package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
)

// A role is what an actor's process has to do.
type role struct {
	Name    string `json:"name"`
	Verbose bool   `json:"verbose"`

	Public *scene.Public   `json:"public,omitempty"` // of the relay
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
	case scene.RelayName:
		return r.Public.Serve(ctx, func(here natpeer.Config) { say(message{Serving: &here}) })
	case scene.BobName:
		return pair.Listen(ctx, *r.Pair, event)
	case scene.AliceName:
		report := pair.Dial(ctx, *r.Pair, r.Target, r.Bytes, event)
		say(message{Report: &report})
		return nil
	}
	return fmt.Errorf("no role %q", r.Name)
}
