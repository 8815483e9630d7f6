// Natcheck finds out what the NATs in front of this host do with TCP, and with whom a direct
// connection can be had.
//
//	go run ./examples/natcheck stun.example.org:3478
//	go run ./examples/natcheck -lab apdm-apdf-rst-sequential
//	go run ./examples/natcheck -json stun.example.org stun.example.net:443
//
// Any STUN server over TCP shows something; examples/stunserver, on a host with two addresses,
// shows all. With -lab the check runs behind an emulated NAT, or a Linux kernel's as in kernel-rst,
// with a server of its own: that needs Linux, and root or the right to make user namespaces. The
// exit status is 0 only if something was learned of the NAT to the Internet.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func main() {
	if at, ok := os.LookupEnv(serverEnv); ok {
		os.Exit(runServer(at))
	}
	var noLab error
	signals := []os.Signal{syscall.SIGTERM, os.Interrupt}
	if _, ok := os.LookupEnv(checkEnv); ok {
		signals = signals[:1]
		signal.Ignore(os.Interrupt) // it is for the program that started this one
	} else if wantsLab(os.Args[1:]) {
		noLab = natlab.Enter() // before all else
	}
	opts := parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	status, err := run(ctx, opts, noLab)
	stop()
	switch {
	case err == nil:
	case opts.json:
		_ = json.NewEncoder(os.Stdout).Encode(failure(err)) // the status says it, too
		status = 1
	default:
		fmt.Fprintln(os.Stderr, "natcheck:", console.OneLine(err))
		status = 1
	}
	os.Exit(status)
}

type options struct {
	lab     *natlab.Behaviour // nil: here
	json    bool
	servers []string
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("natcheck", flag.ContinueOnError)
	flags.BoolVar(&o.json, "json", false, "print the result as one JSON object, and nothing else")
	var nat natlab.Behaviour
	console.NATFlag(flags, "lab", &nat, "check this `NAT` in a lab on this machine, with a server of its own; needs root, or the right to make user namespaces")
	console.Describe(flags, console.Usage{
		Does: "Natcheck finds out what the NATs in front of this host do with TCP, and with whom a direct " +
			"connection can be had. A SERVER is stun:host[:port] or host[:port]. It speaks STUN over TCP and has a public address. " +
			"To find out how the NAT maps ports takes servers at two addresses: name two, or one that runs " +
			"examples/stunserver with -other, which shows the filtering as well.",
		Synopsis: []string{"natcheck [-json] SERVER...", "natcheck [-json] -lab NAT"},
		Notes:    console.NATWords,
	})
	console.Parse(flags, args, func() error {
		o.servers = flags.Args()
		flags.Visit(func(f *flag.Flag) {
			if f.Name == "lab" {
				o.lab = &nat
			}
		})
		if o.lab != nil && len(o.servers) > 0 {
			return fmt.Errorf("-lab brings its own server: leave out %q", o.servers[0])
		}
		if o.lab == nil && len(o.servers) == 0 {
			return errors.New("name a STUN server, or two, as host:port; or try -lab eim-apdf")
		}
		for _, s := range o.servers {
			if _, err := stun.ParseServer(s); err != nil {
				return err
			}
		}
		return nil
	})
	return o
}

func run(ctx context.Context, opts options, noLab error) (status int, err error) {
	if opts.lab != nil {
		return runInLab(ctx, *opts.lab, opts.json, noLab)
	}
	report, err := stun.Discover(ctx, opts.servers)
	if report == nil {
		return 1, err // else the report says why
	}
	if ctx.Err() != nil {
		return 1, errInterrupted
	}
	c := &check{Report: report}
	c.findEgress(ctx)
	if c.Egress == stun.No || c.unconfirmed != nil {
		c.BareSYN = stun.Unknown // to test it took a SYN that may not have got out
	}
	if c.nothing() != "" {
		status = 1
	}
	if opts.json {
		return status, json.NewEncoder(os.Stdout).Encode(newResult(c))
	}
	tell(console.New(os.Stdout), c)
	return status, nil
}
