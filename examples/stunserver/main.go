// Stunserver tells clients, over TCP and UDP, which address they have on the far side of their
// NATs. On a host with two public addresses it also lets them find out all that their NATs do: see
// examples/natcheck.
//
//	go run ./examples/stunserver
//	go run ./examples/stunserver -listen 192.0.2.1:3478 -other 192.0.2.2:3479
//
// With -other it listens at both addresses and both ports, four endpoints in all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// patience is for requests that are just being answered at the end: a connect back takes 2 s.
const patience = 5 * time.Second

func main() {
	if err := run(parse(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "stunserver:", console.ExplainListen(err, "-listen or -other"))
		os.Exit(1)
	}
}

type options struct {
	listen, other netip.AddrPort // other is the zero AddrPort if there is none
	conns         uint           // 0 for the default
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("stunserver", flag.ContinueOnError)
	o.listen = netip.AddrPortFrom(netip.IPv6Unspecified(), 3478)
	flags.Func("listen", "serve at `address:port`, or at :port of all addresses (default :3478)", func(s string) (err error) {
		if strings.HasPrefix(s, ":") {
			s = "[::]" + s
		}
		o.listen, err = netip.ParseAddrPort(s)
		return err
	})
	flags.TextVar(&o.other, "other", netip.AddrPort{}, "serve at another `address:port` of this host, too, and let clients know.\n"+
		"Address and port must both differ")
	flags.UintVar(&o.conns, "conns", 0, "serve `n` connections at a time, of 8 KB each (default 4096)")
	console.Parse(flags, args, func() error {
		switch {
		case !o.other.IsValid():
		case o.listen.Addr().IsUnspecified() || o.other.Addr().IsUnspecified():
			return errors.New("with -other, -listen and -other must name the addresses that clients see")
		case o.listen.Addr() == o.other.Addr() || o.listen.Port() == o.other.Port():
			return errors.New("-other must have another address and another port than -listen")
		case o.listen.Addr().Is4() != o.other.Addr().Is4():
			return errors.New("-listen and -other must be of one family, IPv4 or IPv6")
		case o.listen.Port() == 0 || o.other.Port() == 0:
			return errors.New("with -other, both ports must be given")
		}
		return console.NoArgs(flags)
	})
	return o
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := stun.ServerConfig{MaxConns: int(o.conns)}
	endpoints := []netip.AddrPort{o.listen}
	if o.other.IsValid() {
		cfg.Addresses = [2]netip.AddrPort{o.listen, o.other}
		endpoints = stunserver.Endpoints(o.listen, o.other)
	}
	server, err := stunserver.Start(&cfg, endpoints)
	if err != nil {
		return err
	}
	out := console.New(os.Stdout)
	for _, e := range server.At {
		out.Line("serving", "STUN at %s, over TCP and UDP", e)
	}
	if !o.other.IsValid() {
		out.Print("", "Without -other, clients cannot tell by this server alone how their NATs map ports.")
	}
	select {
	case err = <-server.Failed():
	case <-ctx.Done():
	}
	stop() // a second signal ends it at once
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx))
}
