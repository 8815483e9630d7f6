package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A signalError is a signal that has ended the lab.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return e.String() }

// status is the exit status, as a shell has it.
func (e signalError) status() int { return 128 + int(e.Signal) }

// signals end the lab. But a Ctrl-C is the leading command's business, as soon as that runs: it may
// be a shell, or a debugger.
type signals struct {
	ctx     context.Context // ends by a signal, a [signalError]
	cancel  context.CancelCauseFunc
	leading atomic.Bool
	got     chan os.Signal
	done    chan struct{}
}

// watchSignals begins to watch; stop must be called.
func watchSignals() *signals {
	s := &signals{got: make(chan os.Signal, 8), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	signal.Notify(s.got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(s.done)
		for sig := range s.got {
			if !s.leading.Load() || !natlab.FromTerminal(sig) {
				s.cancel(signalError{sig.(syscall.Signal)})
			}
		}
	}()
	return s
}

// leave leaves Ctrl-C to the leading command.
func (s *signals) leave() { s.leading.Store(true) }

// cause returns the signal that caused an error, or the error if there was none.
func (s *signals) cause(err error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

func (s *signals) stop() {
	signal.Stop(s.got)
	close(s.got)
	<-s.done
	s.cancel(nil)
}
