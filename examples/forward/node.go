package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/examples/forward/internal/tunnel"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/identity"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// A node is this machine's part: a host that stays with its relay.
type node struct {
	host    host.Host
	link    *natpeer.Link
	metrics *tunnel.Metrics // nil without
	scraped *metrics.Server // nil without
	tell    func(tunnel.Event)
	unwatch func()

	mu    sync.Mutex
	relay error // nil while the relay is there
}

// newNode makes a node. With reserve, others reach it through the relay. Close must be called.
func newNode(o *options, reserve bool, tell func(tunnel.Event), opts ...transport.Option) (_ *node, err error) {
	key, err := identity.Load(o.keyFile)
	if err != nil {
		return nil, fmt.Errorf("-key: %w", err)
	}
	n := &node{tell: tell, relay: errors.New("the relay is not reached yet"), unwatch: func() {}}
	var reg *prometheus.Registry
	var registerer prometheus.Registerer // nil without
	if o.metrics != "" {
		reg = metrics.NewRegistry()
		registerer, n.metrics = reg, tunnel.NewMetrics(reg)
	}
	opts = append(opts, transport.WithSTUNServers(o.STUN...))
	if n.host, err = tunnel.NewHost(key, registerer, opts...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if reg != nil {
		if n.scraped, err = metrics.Start(o.metrics, reg, n.health); err != nil {
			return nil, console.ExplainListen(err, "-"+metrics.Flag)
		}
	}
	if n.unwatch, err = tunnel.Watch(n.host, o.Relay.ID, tell); err != nil {
		return nil, err
	}
	n.link = natpeer.NewLink(n.host, o.Relay, reserve)
	return n, nil
}

// Close ends everything but the connections that are forwarded: those have ended before.
func (n *node) Close() {
	_ = n.scraped.Close() // scrapes under way are cut
	_ = n.host.Close()    // the process ends
	n.unwatch()
}

// stay stays with the relay until ctx ends. It reports that this side is ready when the relay has
// been reached for the first time.
func (n *node) stay(ctx context.Context, ready tunnel.Event) {
	next, told := ready, ""
	report := func(err error) {
		n.mu.Lock()
		n.relay = err
		n.mu.Unlock()
		if text := natpeer.Explain(err); text != "" {
			if text != told { // which it may be every 5 s, for days
				n.tell(tunnel.Event{Kind: tunnel.RelayLost, Err: text})
			}
			told = text
			return
		}
		told = ""
		n.tell(next)
		next = tunnel.Event{Kind: tunnel.RelayBack}
	}
	err := n.link.Reach(ctx)
	if ctx.Err() != nil {
		return
	}
	report(err)
	n.link.Keep(ctx, err, report)
}

// health returns why others cannot reach this side, for /healthz.
func (n *node) health() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.relay
}
