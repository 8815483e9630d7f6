// Forward reaches a TCP service of one machine from another one, both behind NATs, over a direct
// connection. It needs a relay with a public address: examples/relay.
//
//	forward serve -relay /ip4/A/tcp/4001/p2p/RELAY -to 127.0.0.1:22
//	forward dial  -relay /ip4/A/tcp/4001/p2p/RELAY PEER -local 127.0.0.1:2222
//	ssh -p 2222 localhost
//
// The first prints the command for the other machine. docs/forward.md has recipes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

func main() {
	command, args := console.Choose("forward",
		"Forward reaches a TCP service of one machine from another one, both behind NATs, over a direct connection. "+
			"The machines meet at a relay: examples/relay.",
		[]console.Command{
			{Name: "serve", Does: "lets peers connect to services of this machine, or its network", Run: serve},
			{Name: "dial", Does: "connects local clients to a service of a peer", Run: dial},
		}, os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	status := command.Run(ctx, args)
	stop()
	os.Exit(status)
}
