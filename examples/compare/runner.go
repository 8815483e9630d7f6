package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

const (
	// tries bounds how often a measurement is begun: under loss the relay may be unreachable.
	tries = 3

	// preparing and dialling bound how many measurements of a concurrent step are in these stages
	// at once. More would starve each other on a slow machine.
	preparing = 6
	dialling  = 3

	// settled is the time after which an unfinished measurement does little but wait: DCUtR's first
	// attempt is over, and the next is 5 to 10 s away.
	settled = 2500 * time.Millisecond
)

// A runner runs the steps of a plan.
type runner struct {
	report func(result.Run) // called for one run at a time

	mu      sync.Mutex
	punches []page.Punch // of the measurements that record
}

// run runs all steps. A run that does not become direct is no error.
func (r *runner) run(ctx context.Context, steps []step) error {
	all, groupCtx := errgroup.WithContext(ctx)
	gate := closed // when the machine is quiet enough for the next step
	for _, s := range steps {
		if s.alone {
			if err := r.oneByOne(groupCtx, s.measurements, gate); err != nil {
				all.Go(func() error { return err })
			}
			continue
		}
		w := newWaiting(len(s.measurements))
		gate = w.settled
		all.Go(func() error { return r.concurrently(groupCtx, s.measurements, w) })
		select {
		case <-w.prepared:
		case <-groupCtx.Done():
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// A waiting reports how far the measurements of a concurrent step are.
type waiting struct {
	prepared, settled chan struct{} // closed when all are
	prepare, settle   func()        // to be called for each
}

func newWaiting(n int) *waiting {
	w := &waiting{prepared: make(chan struct{}), settled: make(chan struct{})}
	w.prepare, w.settle = countdown(n, w.prepared), countdown(n, w.settled)
	return w
}

// countdown closes c at the n-th call.
func countdown(n int, c chan struct{}) func() {
	var mu sync.Mutex
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			close(c)
		}
	}
}

// concurrently runs measurements at the same time.
func (r *runner) concurrently(ctx context.Context, measurements []*measurement, w *waiting) error {
	prepare, dial := make(chan struct{}, preparing), make(chan struct{}, dialling)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, m := range measurements {
		g.Go(func() error {
			isPrepared, isSettled := sync.OnceFunc(w.prepare), sync.OnceFunc(w.settle)
			defer isSettled()
			defer isPrepared()
			return r.retry(ctx, m, func() error {
				prepare <- struct{}{}
				err := m.prepare(ctx)
				<-prepare
				if err != nil {
					return err
				}
				isPrepared()
				dial <- struct{}{}
				next := sync.OnceFunc(func() { <-dial; isSettled() })
				defer next()
				defer time.AfterFunc(settled, next).Stop()
				return r.measure(ctx, m)
			})
		})
	}
	return g.Wait()
}

// oneByOne prepares some measurements concurrently, and runs one after another. The first begins
// once the channel gate is closed.
func (r *runner) oneByOne(ctx context.Context, measurements []*measurement, gate <-chan struct{}) error {
	for len(measurements) > 0 {
		n := min(ahead, len(measurements))
		if err := r.some(ctx, measurements[:n], gate); err != nil {
			return err
		}
		measurements = measurements[n:]
	}
	return nil
}

func (r *runner) some(ctx context.Context, measurements []*measurement, gate <-chan struct{}) (err error) {
	defer func() {
		for _, m := range measurements {
			err = errors.Join(err, m.close())
		}
	}()
	prepared := make([]error, len(measurements))
	var wg sync.WaitGroup
	for i, m := range measurements {
		wg.Go(func() { prepared[i] = m.prepare(ctx) })
	}
	wg.Wait()
	select {
	case <-gate:
	case <-ctx.Done():
	}
	for i, m := range measurements {
		first := true
		err := r.retry(ctx, m, func() error {
			err := prepared[i]
			if !first {
				err = m.prepare(ctx)
			}
			first = false
			if err != nil {
				return err
			}
			return r.measure(ctx, m)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retry runs a measurement until there is a result, a few times at most, and closes it.
func (r *runner) retry(ctx context.Context, m *measurement, run func() error) (err error) {
	for range tries {
		err = errors.Join(run(), m.close())
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%v: %w", m, err)
}

func (r *runner) measure(ctx context.Context, m *measurement) error {
	run, err := m.execute(ctx)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report(run)
		if m.record {
			r.punches = append(r.punches, page.Punch{Run: run, Began: m.began, A: m.a.host, B: m.b.host, Events: m.events})
		}
	}
	return err
}
