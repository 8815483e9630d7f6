package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
)

// A puncher is what makes a relayed connection direct: simopen, or DCUtR. Everything else of the
// two peers is the same.
type puncher interface {
	// option plugs it into the host.
	option() libp2p.Option
	// ready waits until it knows all that it can know before there is a peer.
	ready(context.Context, host.Host) error
	// over is closed when the listener gave up; reason is why.
	over() <-chan string
	// connect waits until the dialler gave up. It may return before, without an error, when there
	// is a direct connection, or when only the listener can tell.
	connect(context.Context, host.Host, peer.ID) error
}

// A node is one of the two peers.
type node struct {
	host.Host
	role *peerRole
	puncher
	self *actor.Self

	relayed, direct chan time.Time // when the first such connection to another peer came up
}

func (r *peerRole) play(ctx context.Context, self *actor.Self) error {
	n := &node{role: r, self: self, relayed: make(chan time.Time, 1), direct: make(chan time.Time, 1)}
	if r.Impl == result.Simopen {
		n.puncher = &simopen{r.World.STUN}
	} else {
		n.puncher = newDCUtR()
	}
	var err error
	if n.Host, err = libp2p.New(n.options()...); err != nil {
		return err
	}
	defer n.Close()
	n.Network().Notify(&network.NotifyBundle{ConnectedF: n.connected})
	if err := n.prepare(ctx); err != nil {
		return err
	}
	id := n.ID()
	self.Say(message{Ready: &id})

	var c command
	heard := make(chan error, 1)
	go func() { heard <- self.Hear(ctx, &c) }()
	for {
		select {
		case err := <-heard:
			if err != nil || c.Dial == "" {
				return nil // the end, or it came before a listener's reason
			}
			return n.dial(ctx, c.Dial)
		case at := <-n.direct:
			self.Say(message{Direct: &at})
		case reason := <-n.over():
			self.Say(message{Over: &reason})
			<-ctx.Done()
			return nil
		}
	}
}

func (n *node) options() []libp2p.Option {
	listen := "/ip4/0.0.0.0/tcp/0"
	if n.role.Impl == result.DCUtRQUIC {
		listen = "/ip4/0.0.0.0/udp/0/quic-v1"
	}
	opts := []libp2p.Option{
		libp2p.ListenAddrStrings(listen),
		libp2p.EnableRelay(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableMetrics(),
		n.option(),
	}
	if n.role.Public {
		return append(opts, libp2p.ForceReachabilityPublic())
	}
	// As behind a NAT in the field: the host reserves a place at the relay and names that to
	// others, not its NAT's address. Otherwise DCUtR would first try that address, without success.
	return append(opts, libp2p.ForceReachabilityPrivate(), libp2p.EnableAutoRelayWithStaticRelays([]peer.AddrInfo{n.role.World.Relay}))
}

// connected takes the time of a connection to the other peer.
func (n *node) connected(_ network.Network, c network.Conn) {
	at := time.Now()
	w := n.role.World
	if p := c.RemotePeer(); p == w.Relay.ID || slices.ContainsFunc(w.Observers, func(o peer.AddrInfo) bool { return o.ID == p }) {
		return
	}
	first := n.direct
	if isRelayed(c.RemoteMultiaddr()) {
		first = n.relayed
	}
	select {
	case first <- at:
	default:
	}
}

// prepare joins the world, and waits until the host and the puncher know what they can.
func (n *node) prepare(ctx context.Context) error {
	all := append([]peer.AddrInfo{n.role.World.Relay}, n.role.World.Observers...)
	failed := make(chan error)
	for _, p := range all {
		go func() { failed <- n.Connect(ctx, p) }()
	}
	for range all {
		if err := <-failed; err != nil {
			return err
		}
	}
	if n.role.Public {
		if _, err := client.Reserve(ctx, n, n.role.World.Relay); err != nil {
			return err
		}
	} else if err := poll(ctx, "reserve a place at the relay", func() bool {
		as := n.Addrs()
		return slices.ContainsFunc(as, isRelayed) && !slices.ContainsFunc(as, isPublic)
	}); err != nil {
		return err
	}
	return n.ready(ctx, n)
}

func (n *node) dial(ctx context.Context, p peer.ID) error {
	relay := n.role.World.Relay
	circuit, err := ma.NewMultiaddr(fmt.Sprintf("/p2p/%s/p2p-circuit", relay.ID))
	if err != nil {
		return err
	}
	for _, a := range relay.Addrs {
		n.Peerstore().AddAddr(p, a.Encapsulate(circuit), peerstore.TempAddrTTL)
	}
	// Unlike Host.Connect it does not wait for identify.
	if _, err := n.Network().DialPeer(ctx, p); err != nil {
		return fmt.Errorf("dial through the relay: %w", err)
	}
	var begin time.Time
	select {
	case begin = <-n.relayed:
	case <-ctx.Done():
		return nil
	}
	n.self.Say(message{Relayed: true})

	failed := make(chan string, 2)
	go func() {
		if err := n.connect(ctx, n, p); err != nil {
			failed <- err.Error()
		}
	}()
	go func() {
		var c command
		if n.self.Hear(ctx, &c) == nil {
			failed <- c.GiveUp
		}
	}()
	var o outcome
	select {
	case at := <-n.direct:
		o = outcome{OK: true, Took: at.Sub(begin)}
	case reason := <-failed:
		o = outcome{Took: time.Since(begin), Reason: reason}
		select {
		case at := <-n.direct:
			o = outcome{OK: true, Took: at.Sub(begin)}
		default:
		}
	case <-ctx.Done():
		return nil
	}
	o.Began = begin
	n.self.Say(message{Outcome: &o})
	<-ctx.Done()
	return nil
}

func isRelayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

func isPublic(a ma.Multiaddr) bool { return !isRelayed(a) && manet.IsPublicAddr(a) }

// poll waits for a condition of which there is no notification.
func poll(ctx context.Context, what string, done func() bool) error {
	// Nothing is timed meanwhile.
	const interval = 20 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}
