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
	// tries is how often a bout is begun: under loss the relay may not be reached.
	tries = 3

	// preparing and dialling are how many bouts of a step that runs side by side are in
	// these stages at once. More would starve each other of a slow machine.
	preparing = 6
	dialling  = 3

	// settled is when a bout that is not over does little but wait: what can come up by
	// DCUtR's first attempt has, and the next is 5 to 10 s away.
	settled = 2500 * time.Millisecond
)

// A runner runs the steps of a plan.
type runner struct {
	report func(result.Run) // called for one run at a time
	until  time.Time        // when no further bout is begun that is to be alone; zero: never

	leftOut int // for want of time

	mu      sync.Mutex
	punches []page.Punch // of the bouts that record
}

// run runs all steps. Its error is one of the program: that something did not become direct is
// none.
func (r *runner) run(ctx context.Context, steps []step) error {
	all, groupCtx := errgroup.WithContext(ctx)
	gate := closed // until the machine is quiet enough for the next step
	for _, s := range steps {
		if s.alone {
			if err := r.oneByOne(groupCtx, s.bouts, gate); err != nil {
				all.Go(func() error { return err })
			}
			continue
		}
		w := newWaiting(len(s.bouts))
		gate = w.settled
		all.Go(func() error { return r.sideBySide(groupCtx, s.bouts, w) })
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

// A waiting tells how far the bouts of a step are that runs side by side.
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

// sideBySide runs bouts at the same time.
func (r *runner) sideBySide(ctx context.Context, bouts []*bout, w *waiting) error {
	prepare, dial := make(chan struct{}, preparing), make(chan struct{}, dialling)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, b := range bouts {
		g.Go(func() error {
			isPrepared, isSettled := sync.OnceFunc(w.prepare), sync.OnceFunc(w.settle)
			defer isSettled()
			defer isPrepared()
			return r.again(ctx, b, func() error {
				prepare <- struct{}{}
				err := b.prepare(ctx)
				<-prepare
				if err != nil {
					return err
				}
				isPrepared()
				dial <- struct{}{}
				next := sync.OnceFunc(func() { <-dial; isSettled() })
				defer next()
				defer time.AfterFunc(settled, next).Stop()
				return r.box(ctx, b)
			})
		})
	}
	return g.Wait()
}

// oneByOne makes some bouts ready side by side, and runs one after another, the first when
// the gate is open.
func (r *runner) oneByOne(ctx context.Context, bouts []*bout, gate <-chan struct{}) error {
	for len(bouts) > 0 && !r.late(warmUp) {
		n := min(ahead, len(bouts))
		if err := r.some(ctx, bouts[:n], gate); err != nil {
			return err
		}
		bouts = bouts[n:]
	}
	r.leftOut += len(bouts)
	return nil
}

func (r *runner) some(ctx context.Context, bouts []*bout, gate <-chan struct{}) (err error) {
	defer func() {
		for _, b := range bouts {
			err = errors.Join(err, b.close())
		}
	}()
	prepared := make([]error, len(bouts))
	var wg sync.WaitGroup
	for i, b := range bouts {
		wg.Go(func() { prepared[i] = b.prepare(ctx) })
	}
	wg.Wait()
	select {
	case <-gate:
	case <-ctx.Done():
	}
	for i, b := range bouts {
		if r.late(0) {
			r.leftOut += len(bouts) - i
			return nil
		}
		first := true
		err := r.again(ctx, b, func() error {
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

// late tells whether what takes so long would begin too late.
func (r *runner) late(d time.Duration) bool {
	return !r.until.IsZero() && time.Now().Add(d).After(r.until)
}

// again runs a bout until there is a result, a few times at most, and closes it.
func (r *runner) again(ctx context.Context, b *bout, run func() error) (err error) {
	for range tries {
		err = errors.Join(run(), b.close())
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
		if b.record {
			r.punches = append(r.punches, page.Punch{Run: run, A: b.a.host, B: b.b.host, Events: b.tape.soFar()})
		}
	}
	return err
}
