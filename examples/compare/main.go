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
	steps := o.plan()
	var lines *json.Encoder // nil without -json
	v := newView(os.Stdout, os.Stdout, steps)
	if o.json {
		lines = json.NewEncoder(os.Stdout)
		v = newView(io.Discard, os.Stderr, steps)
	}
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
	summary := result.Summarise(runs, punchable, people.shares())
	v.end(runs, summary)
	if lines != nil {
		printErr = errors.Join(printErr, lines.Encode(summaryLine{summary}))
	}
	return printErr
}

// A summaryLine is the last of -json.
type summaryLine struct {
	Summary result.Summary `json:"summary"`
}
