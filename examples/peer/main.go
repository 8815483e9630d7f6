// Peer makes a direct connection between two machines behind NATs. It needs a relay with a public
// address: examples/relay.
//
//	go run ./examples/peer listen -relay /ip4/A/tcp/4001/p2p/RELAY
//	go run ./examples/peer dial   -relay /ip4/A/tcp/4001/p2p/RELAY PEER
//
// The first prints the command for the other machine. That one exits with 0 only if the connection
// became direct.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

func main() {
	command, args := console.Choose("peer",
		"Peer makes a direct connection between two machines behind NATs, which meet at a relay: examples/relay.",
		[]console.Command{
			{Name: "listen", Does: "waits for peers, and prints the command for the other machine", Run: listen},
			{Name: "dial", Does: "connects to a peer that listens, and sends data", Run: dial},
		}, os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := command.Run(ctx, args)
	stop()
	os.Exit(status)
}
