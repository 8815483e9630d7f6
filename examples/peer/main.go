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
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/stun"
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

// commonFlags are those that both commands have.
type commonFlags struct {
	natpeer.Config
	verbose bool
}

func addCommonFlags(flags *flag.FlagSet) *commonFlags {
	c := new(commonFlags)
	flags.Func("relay", "meet at the relay with this `multiaddr`, as examples/relay prints it", func(s string) (err error) {
		c.Relay, err = natpeer.ParseRelay(s)
		return err
	})
	flags.Func("stun", "ask the STUN server at `host:port`, over TCP; may be repeated (default port 3478 of the relay)", func(s string) error {
		server, err := stun.ParseServer(s)
		c.STUN = append(c.STUN, server)
		return err
	})
	console.LogFlag(flags, &c.verbose)
	return c
}

// complete checks the flags and fills in what is left out.
func (c *commonFlags) complete() error {
	if len(c.Relay.Addrs) == 0 {
		return fmt.Errorf("-relay is missing: copy it from what examples/relay prints")
	}
	if len(c.STUN) == 0 {
		server, err := natpeer.STUNBeside(c.Relay)
		if err != nil {
			return err
		}
		c.STUN = []string{server}
	}
	console.Log(c.verbose)
	return nil
}
