package main

import (
	"context"
	"encoding/json"
	"fmt"
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
	var runs []result.Run
	out := json.NewEncoder(os.Stdout)
	r := runner{report: func(run result.Run) {
		runs = append(runs, run)
		out.Encode(run)
	}}
	if err := r.run(ctx, o.plan()); err != nil {
		return err
	}
	return out.Encode(struct {
		Summary result.Summary `json:"summary"`
	}{result.Summarise(runs, punchable, nil)})
}
