package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const (
	matrixRuns = 3

	// atOnce is how many bouts of the matrix run side by side. Those in which nothing
	// comes up do little but wait.
	atOnce = 16

	// quickTime is when a -quick run begins no further bout, so that it ends within the
	// minute on a slow machine, too.
	quickTime = 48 * time.Second

	// ahead is how many bouts are made ready side by side, before each of them has the
	// machine to itself. That is 36 processes of some 40 MB each.
	ahead = 12
)

// A step is some bouts of a plan.
type step struct {
	bouts []*bout
	// alone: each has the machine to itself. Else they run side by side, and the next step
	// begins when all that is left is to wait.
	alone bool
}

// plan makes the steps that were asked for. With -quick those bouts overlap with the others that
// do little but wait for DCUtR's next attempt.
func (o *options) plan() []step {
	var slow, timed, matrix []*bout
	for _, s := range rough {
		if !o.wants(s.name) {
			continue
		}
		quick := s.quick
		if len(o.only) > 0 {
			quick = max(quick, 1) // it was asked for by its name
		}
		for run := range o.count(s.runs, quick) {
			for _, b := range o.bouts(&s, run+1) {
				if o.quick && b.estimate() > direct {
					slow = append(slow, b)
				} else {
					timed = append(timed, b)
				}
			}
		}
	}
	for run := range o.count(matrixRuns, 1) {
		for _, p := range o.pairs() {
			matrix = append(matrix, o.bouts(cell(p), run+1)...)
		}
	}
	steps := []step{{bouts: timed, alone: true}, {bouts: matrix}}
	if o.quick {
		// In rounds, so that each scenario has some if the time is not enough for all.
		slices.SortStableFunc(timed, func(a, b *bout) int { return a.run - b.run })
		steps = []step{{bouts: append(slow, matrix...)}, {bouts: timed, alone: true}}
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
		if o.quick && impl == result.DCUtRQUIC && s.name != result.Clean {
			continue // the summary can do without
		}
		bs = append(bs, &bout{scenario: s, impl: impl, run: run, seed: o.seed + uint64(run), record: o.html != "" && run == 1})
	}
	return bs
}

// What bouts take, about, to tell beforehand how long all will.
const (
	direct  = 1200 * time.Millisecond // until the relayed connection, the direct one, and the lab's end
	failing = 17 * time.Second        // DCUtR where nothing comes up: three attempts of 5 s
	warmUp  = 5 * time.Second         // for as many as are made ready at once
	load    = 450 * time.Millisecond  // on two cores, for all of a bout
)

// estimate is how long a bout takes once it is ready.
func (b *bout) estimate() time.Duration {
	s := b.scenario
	switch {
	case b.impl != result.DCUtR:
		return direct
	case s.dcutr > 0:
		return s.dcutr
	case s.name == result.Matrix && (unpredictable(s.a) || unpredictable(s.b)):
		return failing
	}
	return direct
}

func unpredictable(n natlab.Behaviour) bool {
	return n.Ports == natlab.PortSequential || n.Ports == natlab.PortRandom
}

func (s step) estimate() (sum time.Duration) {
	for _, b := range s.bouts {
		switch e := b.estimate(); {
		case s.alone:
			sum += e
		case e > direct:
			sum += load + e/atOnce
		default:
			sum += load
		}
	}
	if s.alone {
		sum += warmUp * time.Duration((len(s.bouts)+ahead-1)/ahead)
	}
	return sum
}

// estimate is how long a plan takes.
func (o *options) estimate(steps []step) (sum time.Duration) {
	for _, s := range steps {
		sum += s.estimate()
	}
	if o.quick {
		sum = min(sum, quickTime)
	}
	return sum
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
