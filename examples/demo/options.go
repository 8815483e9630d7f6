package main

import (
	"errors"
	"flag"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
)

type options struct {
	scene.Options
	bytes   int64
	json    bool
	verbose bool
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Demo shows a TCP simultaneous open on this machine: alice and bob, behind NATs, get from a relayed " +
			"connection to a direct one. Where no lab can be had, they meet on loopback, without NATs.",
		Synopsis: []string{"demo [flags]"},
		Notes:    console.NATWords,
	})
	o.AddFlags(flags)
	flags.Int64Var(&o.bytes, "bytes", 8<<20, "send `n` bytes over the direct connection, for "+pair.SendingTime.String()+" at most; 0 for none")
	flags.BoolVar(&o.json, "json", false, "print the result as one JSON object, and nothing else")
	console.LogFlag(flags, &o.verbose)
	console.Parse(flags, args, func() error {
		if err := o.Check(flags); err != nil {
			return err
		}
		if o.bytes < 0 {
			return errors.New("-bytes is negative")
		}
		return console.NoArgs(flags)
	})
	o.verbose = console.Log(o.verbose)
	return o
}
