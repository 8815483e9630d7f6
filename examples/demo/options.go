package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

type options struct {
	a, b        natlab.Behaviour // of the NATs of alice, who dials, and bob
	oneWay      time.Duration    // from each peer to the core
	relayOneWay time.Duration
	jitter      time.Duration
	loss        float64
	bridge      bool
	bytes       int64
	json        bool
	pcap        string // directory
	verbose     bool
}

// onBridge adapts the options to a bridge, and refuses what it has not.
func (o *options) onBridge(flags *flag.FlagSet) error {
	// SYNs cross within microseconds there. Where each NAT refuses the other's first SYN, that may
	// not happen before the time is up.
	kernel, err := natlab.ParseBehaviour("kernel-drop")
	if err != nil {
		return err
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, name := range []string{"oneway", "relay-oneway", "jitter", "loss"} {
		if given[name] {
			return fmt.Errorf("a bridge has no -%s", name)
		}
	}
	o.oneWay, o.relayOneWay = 0, 0
	for name, nat := range map[string]*natlab.Behaviour{"a": &o.a, "b": &o.b} {
		switch {
		case !given[name]:
			*nat = kernel
		case !nat.Kernel.On && *nat != natlab.Behaviour{}:
			return fmt.Errorf("-%s %v is emulated: on a bridge, NATs are kernels'", name, *nat)
		}
	}
	return nil
}

// parse reads the flags. Both NATs are by default as many home routers are: of the kind that a
// punch can pass, but answering a SYN that comes too early with a RST.
func parse(args []string) options {
	usual := natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST}
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Demo shows a TCP simultaneous open on this machine: two peers behind NATs get from a relayed " +
			"connection to a direct one. Where no lab can be had, the peers meet on loopback, without NATs.",
		Synopsis: []string{"demo [flags]"},
		Notes:    console.NATWords,
	})
	o.a, o.b = usual, usual
	console.NATFlag(flags, "a", &o.a, "`NAT` of alice, who dials")
	console.NATFlag(flags, "b", &o.b, "`NAT` of bob, who listens")
	flags.DurationVar(&o.oneWay, "oneway", 20*time.Millisecond, "one-way delay between each peer and the core")
	flags.DurationVar(&o.relayOneWay, "relay-oneway", 10*time.Millisecond, "one-way delay between the relay and the core")
	flags.DurationVar(&o.jitter, "jitter", 0, "random delay that may come on top, at each peer")
	flags.Float64Var(&o.loss, "loss", 0, "`fraction` of the packets that each peer's link loses, 0 to 1")
	flags.BoolVar(&o.bridge, "bridge", false, "join relay and NATs by a Linux bridge, with no delay; NATs are kernels', kernel-drop by default. "+
		"A punch between two that refuse, as kernel-rst does, may fail there: the SYNs have to cross within microseconds")
	flags.Int64Var(&o.bytes, "bytes", 8<<20, "send `n` bytes over the direct connection, for "+pair.SendingTime.String()+" at most; 0 for none")
	flags.BoolVar(&o.json, "json", false, "print the result as one JSON object, and nothing else")
	flags.StringVar(&o.pcap, "pcap", "", "write what each NAT sees to a pcapng file in this `directory`, which is made if only its last part is missing")
	console.LogFlag(flags, &o.verbose)
	console.Parse(flags, args, func() error {
		switch {
		case o.oneWay < 0 || o.relayOneWay < 0 || o.jitter < 0:
			return errors.New("a delay is negative")
		case !(o.loss >= 0 && o.loss <= 1):
			return fmt.Errorf("-loss %v is not within 0 to 1", o.loss)
		case o.bytes < 0:
			return errors.New("-bytes is negative")
		case o.bridge:
			if err := o.onBridge(flags); err != nil {
				return err
			}
		}
		return console.NoArgs(flags)
	})
	o.verbose = console.Log(o.verbose)
	return o
}
