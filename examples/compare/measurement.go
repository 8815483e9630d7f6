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
	// warmTime bounds the time until a measurement is ready. simopen takes the longest, some 4 s,
	// to find out how its NAT behaves.
	warmTime = time.Minute

	// runTime bounds a run. Each of DCUtR's three attempts takes 5 to 15 s under loss.
	runTime = 90 * time.Second

	// holdWithin bounds when the listener's process is suspended: while either implementation
	// signals or connects.
	holdWithin = 300 * time.Millisecond
)

// A measurement is one run of one implementation, in a lab and with processes of its own.
type measurement struct {
	scenario *scenario
	impl     result.Impl
	run      int
	seed     uint64
	record   bool

	lab        *natlab.Lab
	relay      *natlab.Site
	a, b       peerProcess // the dialler, the listener
	world      world
	public     *actor.Actor[message]
	listenerID peer.ID
	events     []natlab.Event // at both peers' NATs, if record; complete when execute has returned
	began      time.Time      // when the relayed connection was up
}

// A peerProcess is the process of a peer, and its host in the lab.
type peerProcess struct {
	*actor.Actor[message]
	host *natlab.Host
}

// prepare builds the lab, starts all processes, and waits until they are ready.
func (m *measurement) prepare(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, warmTime, errors.New("it is not ready in time"))
	defer cancel()
	if m.lab, err = natlab.New(natlab.Config{Seed: m.seed}); err != nil {
		return err
	}
	if err := m.startPublic(ctx); err != nil {
		return err
	}
	s := m.scenario
	if m.a.host, err = m.addHost(natlab.SiteConfig{Name: "dialler", NAT: s.a, Delay: s.peers, Jitter: s.jitter}); err != nil {
		return err
	}
	if m.b.host, err = m.addHost(natlab.SiteConfig{Name: "listener", NAT: s.b, Delay: s.peers, Jitter: s.jitter}); err != nil {
		return err
	}
	m.lab.SetExtraDelay(m.relay, m.a.host.Site(), s.toA)
	m.lab.SetExtraDelay(m.relay, m.b.host.Site(), s.toB)
	for _, p := range []*peerProcess{&m.a, &m.b} {
		if err := m.start(p); err != nil {
			return err
		}
	}
	if _, err := m.await(ctx, &m.a, ready); err != nil {
		return err
	}
	msg, err := m.await(ctx, &m.b, ready)
	if err == nil {
		m.listenerID = *msg.Ready
	}
	return err
}

// startPublic makes the relay's site, and starts the public hosts in it.
func (m *measurement) startPublic(ctx context.Context) error {
	host, err := m.addHost(natlab.SiteConfig{Name: "relay", Delay: m.scenario.relay})
	if err != nil {
		return err
	}
	m.relay = host.Site()
	addrs := []netip.Addr{host.Addr()}
	for range 1 + observers { // the STUN server's second address, and the observers'
		a, err := host.AddAddr()
		if err != nil {
			return err
		}
		addrs = append(addrs, a)
	}
	spec := role{Public: &publicRole{Relay: [2]netip.Addr(addrs), Observers: addrs[2:], QUIC: m.impl == result.DCUtRQUIC}}
	if m.public, err = actor.Start[message](context.Background(), host.Start, actor.Role{Name: "relay", Spec: spec}); err != nil {
		return err
	}
	msg, err := m.public.Next(ctx)
	if err != nil {
		return err
	}
	if msg.World == nil {
		return errors.New("relay: it does not say how to reach it")
	}
	m.world = *msg.World
	return nil
}

func (m *measurement) addHost(cfg natlab.SiteConfig) (*natlab.Host, error) {
	site, err := m.lab.AddSite(cfg)
	if err != nil {
		return nil, err
	}
	return site.AddHost(cfg.Name)
}

// start starts a peer.
func (m *measurement) start(p *peerProcess) (err error) {
	spec := role{Peer: &peerRole{
		Impl:   m.impl,
		Public: p.host.Site().NAT().Mapping == natlab.Public,
		World:  m.world,
	}}
	p.Actor, err = actor.Start[message](context.Background(), p.host.Start, actor.Role{Name: p.host.Name(), Spec: spec})
	return err
}

func ready(m message) bool    { return m.Ready != nil }
func relayed(m message) bool  { return m.Relayed }
func finished(m message) bool { return m.Outcome != nil }

// await returns the next message of a peer, which must be of a kind.
func (m *measurement) await(ctx context.Context, p *peerProcess, is func(message) bool) (message, error) {
	msg, err := p.Next(ctx)
	if err == nil && !is(msg) {
		err = fmt.Errorf("%s: unexpected message %+v", p.host.Name(), msg)
	}
	return msg, err
}

// execute makes the peers connect, and returns the result.
func (m *measurement) execute(ctx context.Context) (result.Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, p := range []*peerProcess{&m.a, &m.b} {
		p.host.Site().SetLoss(m.scenario.loss)
		if m.record {
			defer p.host.Site().Tap(func(e natlab.Event) { m.events = append(m.events, e) })()
		}
	}
	if err := m.a.Tell(command{Dial: m.listenerID}); err != nil {
		return result.Run{}, err
	}
	if _, err := m.await(ctx, &m.a, relayed); err != nil {
		return result.Run{}, err
	}
	var o *outcome
	listenerUp := make(chan time.Time, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		msg, err := m.await(ctx, &m.a, finished)
		if o = msg.Outcome; err == nil && o.OK {
			waitForListener(listenerUp)
		}
		return err
	})
	g.Go(func() error { return m.followListener(ctx, listenerUp) })
	g.Go(func() error { return m.hold(ctx) })
	if err := g.Wait(); err != nil {
		return result.Run{}, err
	}
	m.began = o.Began
	run := result.Run{
		Scenario: m.scenario.name,
		A:        m.scenario.a.String(),
		B:        m.scenario.b.String(),
		Impl:     m.impl,
		Run:      m.run,
		OK:       o.OK,
		Millis:   float64(pair.ToMillis(o.Took)),
		Reason:   o.Reason,
	}
	select {
	case at := <-listenerUp: // by the same clock: both processes are on this machine
		run.ListenerMillis = float64(pair.ToMillis(at.Sub(o.Began)))
	default:
	}
	return run, nil
}

// listenerTime is how long after the dialler the listener may have its direct connection: DCUtR's
// takes half a round trip more, and a packet that is lost on the way a second.
const listenerTime = 3 * time.Second

// waitForListener waits until the listener's time has come, and leaves it in the channel.
func waitForListener(up chan time.Time) {
	select {
	case at := <-up:
		up <- at
	case <-time.After(listenerTime):
	}
}

// followListener records when the listener has a direct connection. It notifies the dialler when
// the listener gives up, or the time is over. It returns when ctx ends.
func (m *measurement) followListener(ctx context.Context, up chan<- time.Time) error {
	limited, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	for {
		var reason string
		switch msg, err := m.b.Next(limited); {
		case ctx.Err() != nil:
			return nil
		case limited.Err() != nil:
			reason = fmt.Sprintf("not over after %v", runTime)
		case err != nil:
			return err
		case msg.Direct != nil:
			up <- *msg.Direct
			continue
		case msg.Over != nil:
			reason = *msg.Over
		default:
			return fmt.Errorf("%s: unexpected message %+v", m.b.host.Name(), msg)
		}
		_ = m.a.Tell(command{GiveUp: reason}) // it may just have ended
		return nil
	}
}

// hold suspends the listener's process, if the scenario has that. It begins at a random time within
// holdWithin, the same for all measurements with one seed.
func (m *measurement) hold(ctx context.Context) error {
	if m.scenario.hold == 0 {
		return nil
	}
	begin := time.Duration(rand.New(rand.NewPCG(m.seed, 0)).Int64N(int64(holdWithin)))
	select {
	case <-time.After(begin):
		return natlab.Hold(m.b.Process, m.scenario.hold)
	case <-ctx.Done():
		return nil
	}
}

// close ends the processes and takes the lab down.
func (m *measurement) close() error {
	for _, a := range []*actor.Actor[message]{m.a.Actor, m.b.Actor, m.public} {
		if a != nil {
			_ = a.Process.Kill() // its last messages are not needed
			a.Stop()
		}
	}
	if m.lab == nil {
		return nil
	}
	return m.lab.Close()
}

func (m *measurement) String() string {
	return fmt.Sprintf("%s, %v to %v, %s, run %d", m.scenario.name, m.scenario.a, m.scenario.b, m.impl, m.run)
}
