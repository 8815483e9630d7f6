package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

const (
	// tries is how often a bout is begun: under loss the relay may not be reached.
	tries = 3

	// settled is when a bout that is not over does nothing but wait: DCUtR gives an attempt
	// 10 s, and what can come up by the first has.
	settled = 4 * time.Second
)

// A runner runs the steps of a plan.
type runner struct {
	report func(result.Run) // called for one run at a time

	mu sync.Mutex
}

// run runs all steps. Its error is one of the program: that something did not become direct is
// none.
func (r *runner) run(ctx context.Context, steps []step) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		if s.atOnce == 1 {
			if err := r.oneByOne(ctx, s.bouts); err != nil {
				all.Go(func() error { return err })
			}
			continue
		}
		var waiting sync.WaitGroup // until all bouts are over, or wait themselves
		waiting.Add(len(s.bouts))
		over := make(chan struct{})
		all.Go(func() error {
			defer close(over)
			return r.sideBySide(ctx, s, waiting.Done)
		})
		if s.overlap {
			waiting.Wait()
		} else {
			<-over
		}
	}
	return all.Wait()
}

// sideBySide runs bouts at the same time.
func (r *runner) sideBySide(ctx context.Context, s step, isSettled func()) error {
	preparing := make(chan struct{}, ahead)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.atOnce)
	for _, b := range s.bouts {
		g.Go(func() error {
			quiet := sync.OnceFunc(isSettled)
			defer quiet()
			return r.again(ctx, b, func(b *bout) error {
				preparing <- struct{}{}
				err := b.prepare(ctx)
				<-preparing
				if err != nil {
					return err
				}
				t := time.AfterFunc(settled, quiet)
				defer t.Stop()
				return r.box(ctx, b)
			})
		})
	}
	return g.Wait()
}

// oneByOne makes some bouts ready side by side, and runs one after another.
func (r *runner) oneByOne(ctx context.Context, bouts []*bout) error {
	for len(bouts) > 0 {
		n := min(ahead, len(bouts))
		if err := r.chunk(ctx, bouts[:n]); err != nil {
			return err
		}
		bouts = bouts[n:]
	}
	return nil
}

func (r *runner) chunk(ctx context.Context, bouts []*bout) error {
	prepared := make([]error, len(bouts))
	var wg sync.WaitGroup
	for i, b := range bouts {
		wg.Go(func() { prepared[i] = b.prepare(ctx) })
	}
	wg.Wait()
	defer func() {
		for _, b := range bouts {
			b.close()
		}
	}()
	for i, b := range bouts {
		first := true
		err := r.again(ctx, b, func(b *bout) error {
			err := prepared[i]
			if !first {
				err = b.prepare(ctx)
			}
			first = false
			if err != nil {
				return err
			}
			return r.box(ctx, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// again runs a bout until there is a result, a few times at most, and closes it.
func (r *runner) again(ctx context.Context, b *bout, run func(*bout) error) (err error) {
	for range tries {
		err = run(b)
		if closeErr := b.close(); err == nil {
			err = closeErr
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%v: %w", b, err)
}

func (r *runner) box(ctx context.Context, b *bout) error {
	run, err := b.box(ctx)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report(run)
	}
	return err
}
