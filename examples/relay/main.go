// Relay is a meeting point for peers behind NATs, in one process: a libp2p circuit relay and a STUN
// server over TCP. It needs a public address.
//
//	go run ./examples/relay -key relay.key
//
// Run examples/peer on two machines with the address that it prints.
package main

import (
	"fmt"
	"os"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/daemon"
	"github.com/simopen/go-libp2p-simopen/examples/internal/identity"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
)

func main() {
	if err := run(parse(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", console.OneLine(err))
		os.Exit(1)
	}
}

func run(o options) (err error) {
	cfg := o.server
	if o.keyFile != "" {
		if cfg.Identity, err = identity.Load(o.keyFile); err != nil {
			return fmt.Errorf("-key: %w", err)
		}
	}
	reg := metrics.NewRegistry()
	if o.Metrics != "" {
		cfg.Metrics = reg
	}
	s, err := rendezvous.Start(cfg)
	if err != nil {
		return console.ExplainListen(err, "-listen or -stun")
	}
	return daemon.Run(console.New(os.Stdout), o.Options, reg, server{s, o})
}

// A server is a daemon.
type server struct {
	*rendezvous.Server
	options options
}
