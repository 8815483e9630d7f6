package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/show"
)

// dial connects to a listening peer. The status is 0 if the connection became direct and nothing
// failed on it.
func dial(ctx context.Context, args []string) (status int) {
	flags := flag.NewFlagSet("peer dial", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does:     "Dial connects to a listening peer through the relay, waits until the connection is direct, and sends data over it.",
		Synopsis: []string{"peer dial -relay MULTIADDR [flags] PEERID"},
	})
	common := natpeer.AddFlags(flags)
	bytes := flags.Int64("bytes", 8<<20, "send `n` bytes over the direct connection, for "+pair.SendingTime.String()+" at most; 0 for none")
	asJSON := flags.Bool("json", false, "print the result as one JSON object, and nothing else")
	var target peer.ID
	console.Parse(flags, args, func() (err error) {
		switch {
		case flags.NArg() != 1:
			return errors.New("want one peer ID, after the flags: peer listen prints it")
		case *bytes < 0:
			return errors.New("-bytes is negative")
		}
		if target, err = peer.Decode(flags.Arg(0)); err != nil {
			return fmt.Errorf("%q is no peer ID (%w): copy the one that peer listen prints", flags.Arg(0), err)
		}
		return common.Complete()
	})

	out := console.New(os.Stdout)
	view := &show.Dialler{Out: out, Self: "this side", Other: "the other", Bytes: *bytes}
	tell := view.Event
	if *asJSON {
		tell = func(pair.Event) {}
	} else {
		out.Line("peer", "%s", target)
		out.Line("relay", "%s", common.Relay.Addrs[0])
	}
	report := pair.Dial(ctx, common.Config, target, *bytes, tell)
	view.Clear()
	switch {
	case *asJSON:
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			fmt.Fprintln(os.Stderr, "peer dial:", err)
			return 1
		}
	case report.Reason != "":
		fmt.Fprintln(os.Stderr, "peer dial:", report.Reason)
	case report.Simultaneous:
		out.Line("open", "simultaneous: the SYNs crossed")
	default:
		out.Line("open", "one-sided: one end accepted the other's SYN")
	}
	if !report.Direct || report.Reason != "" {
		return 1
	}
	return 0
}
