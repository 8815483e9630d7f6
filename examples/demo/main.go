// Demo shows a simultaneous open on one machine. It builds a laboratory of a relay
// in public and two peers behind NATs, each a process of its own in a network of its
// own, and tells how they get from a relayed connection to a direct one.
//
//	go run ./examples/demo
//	go run ./examples/demo -a apdm-apdf-random -b eim-eif -loss 0.05
//	go run ./examples/demo -json
//
// The lab needs Linux, and root or the right to make user namespaces. Elsewhere
// the peers meet on loopback, without NATs. The exit status is 0 only if the
// connection became direct.
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
	stage, err := newStage(opts, noLab)
	if err == nil {
		r.Lab = stage.lab != nil
		if !r.Lab {
			fmt.Fprintf(notices, "The peers meet on loopback, without NATs, delays and captures: %v\n", stage.noLab)
		}
		s := story{opts: opts, stage: stage, view: newView(out, opts, stage)}
		r.Report = s.tell(ctx)
		err = stage.close()
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
		out.Line("failed", "%s", r.Reason)
	}
	for _, file := range stage.captures() {
		fmt.Fprintln(notices, "capture  ", file)
	}
	return r.Direct && r.Reason == ""
}
