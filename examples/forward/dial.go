package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/forward/internal/tunnel"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// dialOptions are those of dial.
type dialOptions struct {
	*options
	peer    peer.ID
	local   string // host:port; "" with stdio
	stdio   bool
	service string
	relayed bool
}

// dial connects local clients to a service of a peer: until it is interrupted, or with -stdio until
// the one connection ends.
func dial(ctx context.Context, args []string) (status int) {
	o := parseDial(args)
	run, v := runLocal, newView(os.Stdout, o.json)
	if o.stdio {
		run, v = runStdio, newView(os.Stderr, o.json)
		v.quiet = true
	}
	if err := run(ctx, o, v); err != nil {
		fmt.Fprintln(os.Stderr, "forward dial:", err)
		return 1
	}
	return 0
}

func parseDial(args []string) *dialOptions {
	flags := flag.NewFlagSet("forward dial", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Dial connects local clients to a service of the peer that runs forward serve. " +
			"It waits for a direct connection, and says why there is none.",
		Synopsis: []string{
			"forward dial -relay MULTIADDR PEERID -local HOST:PORT [flags]",
			"ssh -o ProxyCommand='forward dial -relay MULTIADDR PEERID -stdio' HOST",
		},
		Notes: moreWords,
	})
	o := &dialOptions{options: addOptions(flags, "dial")}
	flags.StringVar(&o.local, "local", "", "take clients' connections at `host:port`")
	flags.BoolVar(&o.stdio, "stdio", false, "connect standard input and output, as for ssh's ProxyCommand")
	flags.StringVar(&o.service, "service", "", "connect to the service of this `name` (default the only one)")
	flags.BoolVar(&o.relayed, "relayed", false, "connect over the relay, as long as the relay allows, where there is no direct connection")
	console.ParseMixed(flags, args, func() (err error) {
		switch {
		case flags.NArg() != 1:
			return errors.New("want one peer ID: forward serve prints it")
		case (o.local == "") == !o.stdio:
			return errors.New("want either -local HOST:PORT or -stdio")
		case o.service != "" && !serviceName.MatchString(o.service):
			return fmt.Errorf("%q is no service's name", o.service)
		}
		if o.peer, err = peer.Decode(flags.Arg(0)); err != nil {
			return fmt.Errorf("%q is no peer ID (%w): copy the one that forward serve prints", flags.Arg(0), err)
		}
		if o.peer == o.Relay.ID {
			return errors.New("this peer ID is the relay's: copy the one that forward serve prints")
		}
		return o.complete()
	})
	return o
}

// start makes what both ways of dialling need. Stop must be called; it ends all connections.
func (o *dialOptions) start(ctx context.Context, v *view, ready tunnel.Event) (c *tunnel.Client, p *tunnel.Peer, stop func(), err error) {
	n, err := newNode(o.options, false, v.tell)
	if err != nil {
		return nil, nil, nil, err
	}
	p = tunnel.NewPeer(n.host, o.Relay, o.peer, o.relayed, v.tell)
	c = tunnel.NewClient(n.host, o.peer, o.service, p.Connect, v.tell, n.metrics)
	v.dialling(o, n)
	ctx, cancel := context.WithCancel(ctx)
	var staying sync.WaitGroup
	staying.Go(func() { n.stay(ctx, ready) })
	return c, p, func() {
		cancel()
		c.Close()
		p.Close()
		staying.Wait()
		n.Close()
	}, nil
}

func runLocal(ctx context.Context, o *dialOptions, v *view) error {
	l, err := net.Listen("tcp", o.local)
	if err != nil {
		return console.ExplainListen(err, "-local")
	}
	defer l.Close()
	client, peer, stop, err := o.start(ctx, v, tunnel.Event{Kind: tunnel.Ready, Peer: o.peer, Addr: l.Addr().String()})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var work sync.WaitGroup
	work.Go(func() { client.Serve(l) })
	work.Go(func() { // so that a person sees at once whether it will work
		if _, err := peer.Connect(ctx); err != nil && ctx.Err() == nil {
			v.tell(tunnel.Event{Kind: tunnel.NoDirect, Peer: o.peer, Err: err.Error()})
		}
	})
	<-ctx.Done()
	stop()
	work.Wait()
	return nil
}

// hangupTime is how long the connection may take to end after ssh has sent SIGHUP to its
// ProxyCommand, as it does when a session is over. ssh then closes the pipes too, and the service
// ends its side.
const hangupTime = 2 * time.Second

func runStdio(ctx context.Context, o *dialOptions, v *view) error {
	client, _, stop, err := o.start(ctx, v, tunnel.Event{Kind: tunnel.Ready, Peer: o.peer})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, client.Close)()
	hangup, ignore := signal.NotifyContext(context.Background(), syscall.SIGHUP)
	defer ignore()
	defer context.AfterFunc(hangup, func() { time.AfterFunc(hangupTime, client.Close) })()
	err = client.Forward(tunnel.NewStdio(os.Stdin, os.Stdout), "")
	stop()
	if hangup.Err() != nil {
		return nil // the other end is gone
	}
	return err
}
