package main

import (
	"context"
	"errors"
	"net/netip"
	"os"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
)

// A demo is one run of the demo.
type demo struct {
	opts    options
	network *network
	view    *view

	actors []*actor.Actor[message]
	report pair.Report // what alice's events have reported so far
}

// run runs the demo to its end, and returns alice's report.
func (d *demo) run(ctx context.Context) pair.Report {
	report, err := d.connect(ctx)
	for _, a := range d.actors {
		a.Stop()
	}
	if err != nil {
		report = d.report
		report.Reason = err.Error()
		if errors.Is(err, context.Canceled) {
			report.Reason = "interrupted"
		}
	}
	if d.network.segments != nil {
		report.Simultaneous = simultaneous(d.network.segments.all(), addrPort(report.RemoteAddr))
	}
	d.view.end(report, d.network.segments != nil)
	return report
}

func (d *demo) connect(ctx context.Context) (pair.Report, error) {
	listen, err := ma.NewMultiaddr(d.network.relayAddr)
	if err != nil {
		return pair.Report{}, err
	}
	relay, err := d.start(ctx, role{Name: scene.RelayName, Public: &scene.Public{
		Listen: listen, STUN: d.network.stunAddr, STUN2: d.network.stunAddrs,
		Unlimited: true, // for the rate over the relay
	}})
	if err != nil {
		return pair.Report{}, err
	}
	m, err := relay.Next(ctx)
	if err != nil {
		return pair.Report{}, err
	}
	public := m.Serving

	bob, err := d.start(ctx, role{Name: scene.BobName, Pair: public})
	if err != nil {
		return pair.Report{}, err
	}
	ready, err := bob.Next(ctx)
	if err != nil {
		return pair.Report{}, err
	}
	go bob.Ignore() // alice's events say the same

	alice, err := d.start(ctx, role{Name: scene.AliceName, Pair: public, Target: ready.Event.Peer, Bytes: d.opts.bytes})
	if err != nil {
		return pair.Report{}, err
	}
	for {
		m, err := alice.Next(ctx)
		switch {
		case err != nil:
			return pair.Report{}, err
		case m.Report != nil:
			return *m.Report, nil
		case m.Event != nil:
			d.record(*m.Event)
			d.view.event(*m.Event)
		}
	}
}

// record enters an event into the report.
func (d *demo) record(e pair.Event) {
	switch e.Kind {
	case pair.Relayed:
		d.report.Relayed = true
	case pair.Direct:
		d.report.Direct = true
		d.report.TimeToDirect = pair.ToMillis(e.Took)
		d.report.RemoteAddr = e.Addr.String()
	case pair.RelayedRTT:
		d.report.RelayedRTT = pair.ToMillis(e.Took)
	case pair.DirectRTT:
		d.report.DirectRTT = pair.ToMillis(e.Took)
	}
}

// start starts an actor.
func (d *demo) start(ctx context.Context, r role) (*actor.Actor[message], error) {
	r.Verbose = d.opts.verbose
	spec := actor.Role{Name: r.Name, Spec: r}
	if r.Verbose {
		spec.Log = os.Stderr
	}
	a, err := actor.Start[message](ctx, d.network.start[r.Name], spec)
	if err != nil {
		return nil, err
	}
	d.actors = append(d.actors, a)
	return a, nil
}

// addrPort converts /ip4/A/tcp/P to A:P. It returns the zero AddrPort for anything else.
func addrPort(addr string) netip.AddrPort {
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		return netip.AddrPort{}
	}
	n, err := manet.ToNetAddr(a)
	if err != nil {
		return netip.AddrPort{}
	}
	ap, _ := netip.ParseAddrPort(n.String())
	return ap
}
