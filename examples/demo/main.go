// Demo shows a simultaneous open on one machine. It builds a lab with a public relay and two peers
// behind NATs, each a process in a network of its own, and prints how the peers get from a relayed
// connection to a direct one.
//
//	go run ./examples/demo
//	go run ./examples/demo -a apdm-apdf-random -b eim-eif -loss 0.05
//	go run ./examples/demo -json
//
// The lab needs Linux, and root or the right to make user namespaces. Elsewhere the peers meet on
// loopback, without NATs. The exit status is 0 only if the connection became direct.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
)

func main() {
	actor.Main(play)
	noLab := enterLab()
	opts := parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := run(ctx, opts, noLab)
	stop()
	if !ok {
		os.Exit(1)
	}
}

// result is what -json prints.
type result struct {
	Lab bool `json:"lab"` // false: on loopback
	pair.Report
}

func run(ctx context.Context, opts options, noLab error) (ok bool) {
	out, notices := console.New(os.Stdout), os.Stdout
	if opts.json {
		out, notices = console.New(io.Discard), os.Stderr
	}
	var r result
	network, err := newNetwork(opts, noLab)
	if err == nil {
		r.Lab = network.Scene != nil
		if !r.Lab {
			fmt.Fprintf(notices, "The peers meet on loopback, without NATs, delays and captures: %v\n", network.noLab)
		}
		d := demo{opts: opts, network: network, view: newView(out, opts, network)}
		r.Report = d.run(ctx)
		err = network.close()
	}
	if err != nil && r.Reason == "" {
		r.Reason = err.Error()
	}
	if opts.json {
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			return false
		}
	} else if r.Reason != "" {
		out.Paragraph("failed", r.Reason)
	}
	for _, file := range network.captures() {
		fmt.Fprintln(notices, "capture  ", file)
	}
	return r.Direct && r.Reason == ""
}
