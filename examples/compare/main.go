// Compare lets simopen and DCUtR, go-libp2p's own hole punching, make the same relayed connections
// direct, in one run: every pair of ten kinds of NAT, and rough networks.
//
//	go run ./examples/compare -quick
//	go run ./examples/compare
//	go run ./examples/compare -only clean,loss5 -runs 20 -json
//
// Each of the two runs in turn, A B A B, over TCP alone; where UDP gets through, DCUtR over QUIC is
// a third. Each run has new processes, in a lab of its own:
//
//	dialler            relay, STUN, three more hosts           listener
//	   | connect, learn all it can ->|<-- connect, learn, reserve |
//	   |<============= relayed connection ==== the clock starts ==|
//	   |<============= direct connection ===== the clock stops ===|
//
// The clock is the dialler's, from libp2p's notification of the one connection to that of the
// other. Before it starts both implementations know all that there is to know without the peer. For
// DCUtR those are the addresses at which the relay and three others see the host's listener, whose
// port it dials from; for simopen the address of its port, and how its NAT behaves, from a STUN
// server with two addresses. The hosts are the same in all else: stock go-libp2p, behind a NAT with
// a place at the relay (AutoRelay), as such hosts are in the field. The relay has no limits.
//
// DCUtR has its three attempts. A run that does not become direct lasts until it is given up, and
// counts as one that takes for ever in the median and the 90th percentile. A ratio of medians takes
// three runs of each, and one of 90th percentiles five.
//
// With -html FILE there is a page of it as well, with a ladder diagram of each first punch. With
// -json each line is a run, and the last one the summary, which begins with the verdict. The exit
// status is 0 whatever became direct. The lab needs Linux, and root or the right to make user
// namespaces.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

func main() {
	actor.Main(play)
	noLab := natlab.Enter()
	o := parse(os.Args[1:])
	if noLab != nil {
		fail(noLab)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compare(ctx, o)
	stop()
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "compare:", err)
	os.Exit(1)
}

func compare(ctx context.Context, o *options) error {
	people, err := readPopulation()
	if err != nil {
		return fmt.Errorf("population.json: %w", err)
	}
	html, err := createPage(o.html)
	if err != nil {
		return err
	}
	defer html.discard()
	steps := o.plan()
	var lines *json.Encoder // nil without -json
	var out io.Writer = os.Stdout
	progress := os.Stdout
	if o.json {
		lines = json.NewEncoder(os.Stdout)
		out, progress = io.Discard, os.Stderr
	}
	total := 0
	for _, s := range steps {
		total += len(s.measurements)
	}
	v := newView(out, progress, total, o.estimate(steps))
	v.begin()
	var runs []result.Run
	var printErr error
	r := runner{report: func(run result.Run) {
		runs = append(runs, run)
		if lines != nil {
			printErr = errors.Join(printErr, lines.Encode(run))
		}
		v.ran(run)
	}}
	if err := r.run(ctx, steps); err != nil {
		v.progress.Clear()
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return err
	}
	c := page.Page{
		Runs:      runs,
		NATs:      nats(people),
		Scenarios: scenarios(),
		About:     o.about(),
		Punches:   r.punches,
	}
	c.Summary = result.Summarise(runs, roughNames(), c.NATs)
	v.end(c.Runs, c.Summary, c.NATs, c.About)
	if lines != nil {
		printErr = errors.Join(printErr, lines.Encode(summaryLine{c.Summary, c.About}))
	}
	if html != nil {
		printErr = errors.Join(printErr, html.write(c))
	}
	return printErr
}

// A summaryLine is the last of -json.
type summaryLine struct {
	Summary result.Summary `json:"summary"`
	About   result.About   `json:"about"`
}
