package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// The exit statuses of failures that are not a command's, as env(1) and others have them.
const (
	statusFailed   = 125
	statusNotRun   = 126
	statusNotFound = 127
)

func main() {
	actor.Main(serve)
	if len(os.Args) > 1 && os.Args[1] == "enter" {
		os.Exit(report(enter(os.Args[2:])))
	}
	noLab := natlab.Enter()
	o := parse(os.Args[1:])
	if noLab != nil {
		os.Exit(report(0, noLab))
	}
	os.Exit(report(run(o)))
}

// report says what failed, and returns the exit status.
func report(status int, err error) int {
	if err == nil {
		return status
	}
	fmt.Fprintln(os.Stderr, "lab:", console.OneLine(err))
	var sig signalError
	var start *startError
	switch {
	case errors.As(err, &sig):
		return sig.status()
	case !errors.As(err, &start):
		return statusFailed
	case errors.Is(err, exec.ErrNotFound):
		return statusNotFound
	}
	return statusNotRun
}

// A startError says that a command could not be started.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// serve is the main function of the process in the relay's host.
func serve(ctx context.Context, self *actor.Self) error {
	var p scene.Public
	if err := self.Spec(&p); err != nil {
		return err
	}
	console.Log(false)
	return p.Serve(ctx, func(here natpeer.Config) { self.Say(here) })
}
