// Relay is a meeting point for peers behind NATs, in one process: a libp2p circuit relay and a STUN
// server over TCP. It needs a public address.
//
//	go run ./examples/relay -key relay.key
//
// Run examples/peer on two machines with the address that it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/identity"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
)

// patience is for STUN requests that are just being answered at the end.
const patience = 5 * time.Second

func main() {
	if err := run(parse(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", console.OneLine(console.ExplainListen(err, "-listen or -stun")))
		os.Exit(1)
	}
}

func parse(args []string) (cfg rendezvous.Config, keyFile string) {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.Func("listen", "listen at `multiaddr`; may be repeated (default /ip4/0.0.0.0/tcp/4001)", func(s string) error {
		a, err := ma.NewMultiaddr(s)
		cfg.Listen = append(cfg.Listen, a)
		return err
	})
	flags.StringVar(&cfg.STUN, "stun", fmt.Sprintf(":%d", stunPort), "serve STUN at `host:port`")
	flags.StringVar(&keyFile, "key", "", "keep the identity in `file` (default a new one each time)")
	flags.BoolVar(&cfg.Unlimited, "unlimited", false, "relay without the usual limits of 2 minutes and 128 KiB a connection")
	var verbose bool
	console.LogFlag(flags, &verbose)
	console.Parse(flags, args, func() error { return console.NoArgs(flags) })
	if cfg.Listen == nil {
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/4001")}
	}
	console.Log(verbose)
	return cfg, keyFile
}

func run(cfg rendezvous.Config, keyFile string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if keyFile != "" {
		if cfg.Identity, err = identity.Load(keyFile); err != nil {
			return fmt.Errorf("-key: %w", err)
		}
	}
	server, err := rendezvous.Start(cfg)
	if err != nil {
		return err
	}
	announce(console.New(os.Stdout), server)
	select {
	case err = <-server.Failed():
	case <-ctx.Done():
	}
	stop() // a second signal ends it at once
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx))
}
