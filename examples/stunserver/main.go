// Stunserver reports to clients, over TCP and UDP, which address they have on the far side of their
// NATs. On a host with two public addresses it also lets them find out all that their NATs do: see
// examples/natcheck.
//
//	go run ./examples/stunserver
//	go run ./examples/stunserver -listen 192.0.2.1:3478 -other 192.0.2.2:3479
//
// With -other it listens at both addresses and both ports, four endpoints in all.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/daemon"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func main() {
	if err := run(parse(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "stunserver:", console.OneLine(err))
		os.Exit(1)
	}
}

type options struct {
	daemon.Options
	listen, other netip.AddrPort // other is the zero AddrPort if there is none
	limits        stun.ServerConfig
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("stunserver", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Stunserver tells clients, over TCP and UDP, which address they have on the far side of their NATs. " +
			"With two public addresses it also lets them find out what their NATs do.",
		Synopsis: []string{"stunserver [flags]", "stunserver -listen ADDRESS:PORT -other ADDRESS:PORT [FLAGS]"},
	})
	o.listen = netip.AddrPortFrom(netip.IPv6Unspecified(), 3478)
	flags.Func("listen", "serve at `address:port`, or at :port of all addresses, IPv4 and IPv6 (default :3478)", func(s string) (err error) {
		if strings.HasPrefix(s, ":") {
			s = "[::]" + s
		}
		o.listen, err = netip.ParseAddrPort(s)
		return err
	})
	flags.TextVar(&o.other, "other", netip.AddrPort{}, "serve at another `address:port` of this host, too, and let clients know. "+
		"Address and port must both differ")
	stunserver.AddLimitFlags(flags, &o.limits, "")
	o.AddFlags(flags)
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
	cfg := o.limits
	endpoints := []netip.AddrPort{o.listen}
	if o.other.IsValid() {
		cfg.Addresses = [2]netip.AddrPort{o.listen, o.other}
		endpoints = stunserver.Endpoints(o.listen, o.other)
	}
	s, err := stunserver.Start(&cfg, endpoints)
	if err != nil {
		return console.ExplainListen(err, "-listen or -other")
	}
	reg := metrics.NewRegistry()
	reg.MustRegister(stunserver.Collector(s.Stats))
	return daemon.Run(console.New(os.Stdout), o.Options, reg, server{s})
}

// A server is a daemon.
type server struct{ *stunserver.Server }

func (s server) Announce(out *console.Console) {
	for _, e := range s.At {
		at := e.String()
		if e.Addr().IsUnspecified() {
			at = fmt.Sprintf("port %d of all addresses", e.Port())
		}
		out.Line("serving", "STUN at %s, over TCP and UDP", at)
	}
	if len(s.At) == 1 {
		out.Line("note", "clients cannot tell by this server alone how their NATs map ports: -other lets them")
	}
}

func (s server) Status() string { return stunserver.Status(s.Stats()) }
