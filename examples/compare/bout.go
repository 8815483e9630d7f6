package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const (
	// warmTime bounds the time until a bout is ready. simopen takes the longest, some 4 s,
	// to find out how its NAT behaves.
	warmTime = time.Minute

	// boutTime bounds a run. Each of DCUtR's three attempts takes 5 to 15 s under loss.
	boutTime = 90 * time.Second

	// holdWithin is when a process may begin to stand still: while either implementation
	// signals or connects.
	holdWithin = 300 * time.Millisecond
)

// A bout is one run of one implementation, in a lab of its own with processes of its own.
type bout struct {
	scenario *scenario
	impl     result.Impl
	run      int
	seed     uint64
	record   bool

	lab        *natlab.Lab
	relay      *natlab.Site
	a, b       corner // the dialler, the listener
	world      world
	public     *actor.Actor[message]
	listenerID peer.ID
	tape       tape
}

// A corner is a peer with its place in the lab.
type corner struct {
	*actor.Actor[message]
	host *natlab.Host
}

// prepare builds the lab and waits until all in it are ready.
func (b *bout) prepare(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, warmTime, errors.New("it is not ready in time"))
	defer cancel()
	if b.lab, err = natlab.New(natlab.Config{Seed: b.seed}); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	s := b.scenario
	if b.a.host, err = b.addHost(natlab.SiteConfig{Name: "dialler", NAT: s.a, Delay: s.peers, Jitter: s.jitter}); err != nil {
		return err
	}
	if b.b.host, err = b.addHost(natlab.SiteConfig{Name: "listener", NAT: s.b, Delay: s.peers, Jitter: s.jitter}); err != nil {
		return err
	}
	b.lab.SetExtraDelay(b.relay, b.a.host.Site(), s.toA)
	b.lab.SetExtraDelay(b.relay, b.b.host.Site(), s.toB)
	for _, c := range []*corner{&b.a, &b.b} {
		if err := b.enter(c); err != nil {
			return err
		}
	}
	if _, err := b.await(ctx, &b.a, ready); err != nil {
		return err
	}
	m, err := b.await(ctx, &b.b, ready)
	if err == nil {
		b.listenerID = *m.Ready
	}
	return err
}

// open opens the relay's site.
func (b *bout) open(ctx context.Context) error {
	host, err := b.addHost(natlab.SiteConfig{Name: "relay", Delay: b.scenario.relay})
	if err != nil {
		return err
	}
	b.relay = host.Site()
	addrs := []netip.Addr{host.Addr()}
	for range 1 + observers { // the STUN server's second address, and those
		a, err := host.AddAddr()
		if err != nil {
			return err
		}
		addrs = append(addrs, a)
	}
	spec := role{Public: &publicRole{Relay: [2]netip.Addr(addrs), Observers: addrs[2:], QUIC: b.impl == result.DCUtRQUIC}}
	if b.public, err = actor.Start[message](context.Background(), host.Start, actor.Role{Name: "relay", Spec: spec}); err != nil {
		return err
	}
	m, err := b.public.Next(ctx)
	if err != nil {
		return err
	}
	if m.World == nil {
		return errors.New("relay: it does not say how to reach it")
	}
	b.world = *m.World
	return nil
}

func (b *bout) addHost(cfg natlab.SiteConfig) (*natlab.Host, error) {
	site, err := b.lab.AddSite(cfg)
	if err != nil {
		return nil, err
	}
	return site.AddHost(cfg.Name)
}

// enter starts a peer.
func (b *bout) enter(c *corner) (err error) {
	spec := role{Peer: &peerRole{
		Impl:   b.impl,
		Public: c.host.Site().NAT().Mapping == natlab.Public,
		World:  b.world,
	}}
	c.Actor, err = actor.Start[message](context.Background(), c.host.Start, actor.Role{Name: c.host.Name(), Spec: spec})
	return err
}

func ready(m message) bool    { return m.Ready != nil }
func relayed(m message) bool  { return m.Relayed }
func gaveUp(m message) bool   { return m.Over != nil }
func finished(m message) bool { return m.Outcome != nil }

// await waits for a peer's message.
func (b *bout) await(ctx context.Context, c *corner, is func(message) bool) (message, error) {
	m, err := c.Next(ctx)
	if err == nil && !is(m) {
		err = fmt.Errorf("%s: unexpected message %+v", c.host.Name(), m)
	}
	return m, err
}

// box runs the bout.
func (b *bout) box(ctx context.Context) (result.Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range []*corner{&b.a, &b.b} {
		c.host.Site().SetLoss(b.scenario.loss)
		if b.record {
			c.host.Site().Tap(b.tape.add)
		}
	}
	if err := b.a.Tell(command{Dial: b.listenerID}); err != nil {
		return result.Run{}, err
	}
	if _, err := b.await(ctx, &b.a, relayed); err != nil {
		return result.Run{}, err
	}
	var o *outcome
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		m, err := b.await(ctx, &b.a, finished)
		o = m.Outcome
		return err
	})
	g.Go(func() error { return b.referee(ctx) })
	g.Go(func() error { return b.hold(ctx) })
	if err := g.Wait(); err != nil {
		return result.Run{}, err
	}
	return result.Run{
		Scenario: b.scenario.name,
		A:        b.scenario.a.String(),
		B:        b.scenario.b.String(),
		Impl:     b.impl,
		Run:      b.run,
		OK:       o.OK,
		Millis:   float64(pair.ToMillis(o.Took)),
		Reason:   o.Reason,
	}, nil
}

// referee tells the dialler that the listener gives up, or that the time is up, until ctx ends.
func (b *bout) referee(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, boutTime)
	defer cancel()
	var reason string
	switch m, err := b.await(limited, &b.b, gaveUp); {
	case ctx.Err() != nil:
		return nil
	case limited.Err() != nil:
		reason = fmt.Sprintf("not over after %v", boutTime)
	case err != nil:
		return err
	default:
		reason = *m.Over
	}
	_ = b.a.Tell(command{GiveUp: reason}) // it may just have ended
	return nil
}

// hold makes the listener's process stand still, if the scenario says so: from a moment on in
// the first moments, which is the same for all that run as this bout does.
func (b *bout) hold(ctx context.Context) error {
	if b.scenario.hold == 0 {
		return nil
	}
	begin := time.Duration(rand.New(rand.NewPCG(b.seed, 0)).Int64N(int64(holdWithin)))
	select {
	case <-time.After(begin):
		return natlab.Hold(b.b.Process, b.scenario.hold)
	case <-ctx.Done():
		return nil
	}
}

// close ends the processes and takes the lab down.
func (b *bout) close() error {
	for _, a := range []*actor.Actor[message]{b.a.Actor, b.b.Actor, b.public} {
		if a != nil {
			_ = a.Process.Kill() // what it would say on leaving interests nobody
			a.Stop()
		}
	}
	if b.lab == nil {
		return nil
	}
	return b.lab.Close()
}

func (b *bout) String() string {
	return fmt.Sprintf("%s, %v to %v, %s, run %d", b.scenario.name, b.scenario.a, b.scenario.b, b.impl, b.run)
}
