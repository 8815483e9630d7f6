package main

import (
	"errors"
	"flag"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

type options struct {
	quick bool
	only  []string // scenarios; empty: all
	runs  int      // of each; 0: as many as each has
	seed  uint64
	json  bool
	html  string // file; "": none

	args []string // as they were given
}

func parse(args []string) *options {
	o := options{args: args}
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Compare lets simopen and DCUtR, go-libp2p's own hole punching, make the same relayed connections " +
			"direct, behind every pair of ten kinds of NAT and over rough networks. The networks are emulated " +
			"on this machine, which needs Linux, and root or the right to make user namespaces.",
		Synopsis: []string{"compare [flags]"},
	})
	flags.BoolVar(&o.quick, "quick", false, "take about a minute: each kind of NAT once on each side, and 3 to 5 runs of the main scenarios")
	flags.Func("only", "`scenarios` to run, with commas between: "+strings.Join(scenarioNames(), ", "), func(s string) (err error) {
		o.only, err = splitOnly(s)
		return err
	})
	flags.IntVar(&o.runs, "runs", 0, "run each pair and scenario `n` times (default: by scenario, 3 to 20)")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the lab's random `numbers`")
	flags.BoolVar(&o.json, "json", false, "print JSON lines and nothing else: a run each, and at the end a summary")
	flags.StringVar(&o.html, "html", "", "write a page with charts and a ladder diagram of each first punch to `file`")
	var wrong error
	console.Parse(flags, args, func() error {
		flags.Visit(func(f *flag.Flag) {
			if f.Name == "runs" && o.runs < 1 {
				wrong = errors.New("-runs must be at least 1")
			}
		})
		if wrong != nil {
			return wrong
		}
		return console.NoArgs(flags)
	})
	return &o
}
