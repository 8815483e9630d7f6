package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

const (
	matrixRuns = 3

	// atOnce is how many bouts of the matrix run side by side. Those in which nothing
	// comes up do little but wait for half a minute.
	atOnce = 12

	// ahead is how many bouts are made ready side by side, before each of them has the
	// machine to itself.
	ahead = 6
)

// How long bouts take, to tell beforehand how long all will.
const (
	warmUp    = 5 * time.Second  // for as many as are made ready at once
	direct    = time.Second      // with the lab's end
	hopeless  = 31 * time.Second // DCUtR's three attempts of 10 s
	lastOfAll = 21 * time.Second // DCUtR's third attempt, with the roles exchanged
)

// A step is some bouts of a plan.
type step struct {
	bouts  []*bout
	atOnce int // 1: each has the machine to itself
	// overlap lets the next step begin when all that is left is to wait.
	overlap bool
}

// plan makes the steps that were asked for.
func (o *options) plan() (steps []step) {
	var matrix []*bout
	for run := range o.count(matrixRuns, 1) {
		for _, p := range o.pairs() {
			matrix = append(matrix, o.bouts(cell(p), run+1)...)
		}
	}
	if o.quick {
		slow := step{bouts: matrix, atOnce: len(matrix), overlap: true}
		steps = append(steps, slow)
	}
	for _, s := range rough {
		if !o.wants(s.name) {
			continue
		}
		n := o.count(s.runs, s.quick)
		st := step{atOnce: 1}
		for run := range n {
			st.bouts = append(st.bouts, o.bouts(&s, run+1)...)
		}
		steps = append(steps, st)
	}
	if !o.quick {
		steps = append(steps, step{bouts: matrix, atOnce: atOnce})
	}
	return slices.DeleteFunc(steps, func(s step) bool { return len(s.bouts) == 0 })
}

// count is how often something is run.
func (o *options) count(full, quick int) int {
	switch {
	case o.quick && quick == 0:
		return 0
	case o.runs > 0:
		return o.runs
	case o.quick:
		return quick
	}
	return full
}

func (o *options) pairs() []result.Pair {
	switch {
	case !o.wants(result.Matrix):
		return nil
	case o.quick:
		return quickPairs
	}
	return allPairs()
}

func (o *options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

// bouts are one run of each implementation.
func (o *options) bouts(s *scenario, run int) (bs []*bout) {
	for _, impl := range s.impls {
		bs = append(bs, &bout{scenario: s, impl: impl, run: run, seed: o.seed + uint64(run)})
	}
	return bs
}

// estimate is how long a step takes, about.
func (s step) estimate() time.Duration {
	var sum time.Duration
	for _, b := range s.bouts {
		sum += b.estimate()
	}
	side := max(1, min(s.atOnce, ahead))
	return sum/time.Duration(max(1, s.atOnce)) + warmUp*time.Duration(1+len(s.bouts)/max(side, ahead))
}

func (b *bout) estimate() time.Duration {
	switch {
	case b.impl != result.DCUtR:
		return direct
	case b.scenario.dcutr > 0:
		return b.scenario.dcutr
	}
	return direct
}

// scenarioNames are what -only takes.
func scenarioNames() []string {
	names := []string{result.Matrix}
	for _, s := range rough {
		names = append(names, s.name)
	}
	return names
}

// splitOnly reads the names of -only.
func splitOnly(list string) (names []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(scenarioNames(), name) {
			return nil, fmt.Errorf("no scenario %q: want some of %s", name, strings.Join(scenarioNames(), ", "))
		}
		names = append(names, name)
	}
	return names, nil
}
