package scene

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// Options say what a Scene is like.
type Options struct {
	A, B        natlab.Behaviour // of alice's NAT and bob's
	OneWay      time.Duration    // from each peer to the core
	RelayOneWay time.Duration
	Jitter      time.Duration
	Loss        float64
	Bridge      bool
	Pcap        string // directory for captures; "": none
}

// AddFlags adds the flags for all options. Both NATs are by default as many home routers are: of
// the kind that a punch can pass, but answering a SYN that comes too early with a RST.
func (o *Options) AddFlags(flags *flag.FlagSet) {
	usual := natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST}
	o.A, o.B = usual, usual
	console.NATFlag(flags, "a", &o.A, "alice's `NAT`")
	console.NATFlag(flags, "b", &o.B, "bob's `NAT`")
	flags.DurationVar(&o.OneWay, "oneway", 20*time.Millisecond, "one-way delay between each peer and the core")
	flags.DurationVar(&o.RelayOneWay, "relay-oneway", 10*time.Millisecond, "one-way delay between the relay and the core")
	flags.DurationVar(&o.Jitter, "jitter", 0, "random delay that may come on top, at each peer")
	flags.Float64Var(&o.Loss, "loss", 0, "`fraction` of the packets that each peer's link loses, 0 to 1")
	flags.BoolVar(&o.Bridge, "bridge", false, "join relay and NATs by a Linux bridge, with no delay; NATs are kernels', kernel-drop by default. "+
		"A punch between two that refuse, as kernel-rst does, may take seconds there: the SYNs have to cross within microseconds")
	flags.StringVar(&o.Pcap, "pcap", "", "write what each NAT sees to a pcapng file in this `directory`, which is made if only its last part is missing")
}

// Check checks the options that were given.
func (o *Options) Check(flags *flag.FlagSet) error {
	switch {
	case o.OneWay < 0 || o.RelayOneWay < 0 || o.Jitter < 0:
		return errors.New("a delay is negative")
	case !(o.Loss >= 0 && o.Loss <= 1):
		return fmt.Errorf("-loss %v is not within 0 to 1", o.Loss)
	case o.Bridge:
		return o.onBridge(flags)
	}
	return nil
}

// onBridge adapts the options to a bridge, and refuses what it has not.
func (o *Options) onBridge(flags *flag.FlagSet) error {
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
	o.OneWay, o.RelayOneWay = 0, 0
	for name, nat := range map[string]*natlab.Behaviour{"a": &o.A, "b": &o.B} {
		switch {
		case !given[name]:
			*nat = kernel
		case !nat.Kernel.On && *nat != natlab.Behaviour{}:
			return fmt.Errorf("-%s %v is emulated: on a bridge, NATs are kernels'", name, *nat)
		}
	}
	return nil
}
