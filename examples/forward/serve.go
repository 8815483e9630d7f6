package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/simopen/go-libp2p-simopen/examples/forward/internal/tunnel"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// serve lets peers connect to services until it is interrupted.
func serve(ctx context.Context, args []string) (status int) {
	flags := flag.NewFlagSet("forward serve", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Serve lets peers connect to TCP services of this machine, or of its network. It prints the command for the other machine.",
		Synopsis: []string{
			"forward serve -relay MULTIADDR -to HOST:PORT [flags]",
			"forward serve -relay MULTIADDR -to NAME=HOST:PORT -to NAME=HOST:PORT...",
		},
		Notes: moreWords,
	})
	o := addOptions(flags, "serve")
	to := make(services)
	flags.Var(to, "to", "let peers connect to the `service` [NAME=]HOST:PORT; may be repeated, with names")
	var allow peers
	flags.Var(&allow, "allow", "let only the peers with these `IDs` connect, with commas between; may be repeated (default everybody)")
	console.Parse(flags, args, func() error {
		if err := console.NoArgs(flags); err != nil {
			return err
		}
		if err := to.check(); err != nil {
			return err
		}
		return o.complete()
	})
	v := newView(os.Stdout, o.json)
	if err := runServe(ctx, o, to, allow, v); err != nil {
		fmt.Fprintln(os.Stderr, "forward serve:", err)
		return 1
	}
	return 0
}

func runServe(ctx context.Context, o *options, to services, allow peers, v *view) error {
	var server *tunnel.Server
	started := make(chan struct{}) // closed when server is set
	filter := transport.WithPeerFilter(func(p peer.ID) bool {
		<-started
		return server.Allows(p)
	})
	n, err := newNode(o, true, v.tell, filter)
	if err != nil {
		return err
	}
	defer n.Close()
	server = tunnel.Serve(n.host, to, allow, v.tell, n.metrics)
	defer server.Close()
	close(started)
	v.serving(o, n, to, allow)
	n.stay(ctx, tunnel.Event{Kind: tunnel.Ready, Peer: n.host.ID()})
	return nil
}
