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
	"slices"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const usage = `usage:
  peer listen -relay MULTIADDR [-stun HOST:PORT]...
  peer dial -relay MULTIADDR [-stun HOST:PORT]... [-bytes N] [-json] PEERID
Each command has -help.
`

func main() {
	commands := map[string]func(context.Context, []string) (ok bool){
		"listen": listen,
		"dial":   dial,
	}
	switch {
	case len(os.Args) < 2:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case slices.Contains([]string{"-h", "-help", "--help", "help"}, os.Args[1]):
		fmt.Print(usage)
		return
	case commands[os.Args[1]] == nil:
		fmt.Fprintf(os.Stderr, "peer: there is no command %q\n%s", os.Args[1], usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := commands[os.Args[1]](ctx, os.Args[2:])
	stop()
	if !ok {
		os.Exit(1)
	}
}

// commonFlags are those that both commands have.
type commonFlags struct {
	pair.Config
	verbose bool
}

func addCommonFlags(flags *flag.FlagSet) *commonFlags {
	c := new(commonFlags)
	flags.Func("relay", "meet at the relay with this `multiaddr`, as examples/relay prints it", func(s string) (err error) {
		c.Relay, err = pair.ParseRelay(s)
		return err
	})
	flags.Func("stun", "ask the STUN server at `host:port`, over TCP; may be repeated (default port 3478 of the relay)", func(s string) error {
		server, err := stun.ParseServer(s)
		c.STUN = append(c.STUN, server)
		return err
	})
	flags.BoolVar(&c.verbose, "v", false, "log to standard error, as much as GOLOG_LOG_LEVEL says")
	return c
}

// complete checks the flags and fills in what is left out.
func (c *commonFlags) complete() error {
	if len(c.Relay.Addrs) == 0 {
		return fmt.Errorf("-relay is missing: copy it from what examples/relay prints")
	}
	if len(c.STUN) == 0 {
		server, err := pair.STUNBeside(c.Relay)
		if err != nil {
			return err
		}
		c.STUN = []string{server}
	}
	console.Log(c.verbose)
	return nil
}
