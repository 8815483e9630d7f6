package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
)

// A story is one run of the demo.
type story struct {
	opts  options
	stage *stage
	view  *view

	actors []*actor.Actor[message]
	report pair.Report // as far as alice has told, should she be interrupted
}

// tell plays the story to its end. The report says what came of it.
func (s *story) tell(ctx context.Context) pair.Report {
	report, err := s.play(ctx)
	for _, a := range s.actors {
		a.Stop()
	}
	if err != nil {
		report = s.report
		report.Reason = err.Error()
		if errors.Is(err, context.Canceled) {
			report.Reason = "interrupted"
		}
	}
	if s.stage.tape != nil {
		report.Simultaneous = simultaneous(s.stage.tape.soFar(), addrPort(report.RemoteAddr))
	}
	s.view.end(report)
	return report
}

func (s *story) play(ctx context.Context) (pair.Report, error) {
	listen, err := ma.NewMultiaddr(s.stage.relayAddr)
	if err != nil {
		return pair.Report{}, err
	}
	relay, err := s.enter(ctx, role{Name: relayName, Listen: listen, STUN: s.stage.stunAddr, STUN2: s.stage.stunAddrs})
	if err != nil {
		return pair.Report{}, err
	}
	m, err := relay.Next(ctx)
	if err != nil {
		return pair.Report{}, err
	}
	public := m.Serving

	bob, err := s.enter(ctx, role{Name: bobName, Pair: public})
	if err != nil {
		return pair.Report{}, err
	}
	ready, err := bob.Next(ctx)
	if err != nil {
		return pair.Report{}, err
	}
	go bob.Ignore() // the other side tells the same

	alice, err := s.enter(ctx, role{Name: aliceName, Pair: public, Target: ready.Event.Peer, Bytes: s.opts.bytes})
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
			s.note(*m.Event)
			s.view.event(*m.Event)
		}
	}
}

// note keeps what is known before alice's own report.
func (s *story) note(e pair.Event) {
	switch e.Kind {
	case pair.Relayed:
		s.report.Relayed = true
	case pair.Direct:
		s.report.Direct = true
		s.report.TimeToDirect = pair.ToMillis(e.Took)
		s.report.RemoteAddr = e.Addr.String()
	case pair.RelayedRTT:
		s.report.RelayedRTT = pair.ToMillis(e.Took)
	case pair.DirectRTT:
		s.report.DirectRTT = pair.ToMillis(e.Took)
	}
}

// enter starts an actor.
func (s *story) enter(ctx context.Context, r role) (*actor.Actor[message], error) {
	r.Verbose = s.opts.verbose
	spec := actor.Role{Name: r.Name, Spec: r}
	if r.Verbose {
		spec.Log = os.Stderr
	}
	a, err := actor.Start[message](ctx, s.stage.start[r.Name], spec)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s.actors = append(s.actors, a)
	return a, nil
}

// addrPort is /ip4/A/tcp/P as A:P, or not valid.
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
