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

	// atOnce bounds how many measurements of the matrix run concurrently. Those in which nothing
	// comes up do little but wait.
	atOnce = 16

	// ahead is how many measurements are prepared concurrently, before each of them has the machine
	// to itself. That is 36 processes of some 40 MB each.
	ahead = 12
)

// A step is some measurements of a plan.
type step struct {
	measurements []*measurement
	// alone gives each the machine to itself. Otherwise they run concurrently, and the next step
	// begins when these only wait.
	alone bool
}

// plan returns the requested steps. With -quick, measurements that mostly wait for DCUtR's next
// attempt overlap with the others.
func (o *options) plan() []step {
	var slow, timed, matrix []*measurement
	for _, s := range rough {
		if !o.wants(s.name) {
			continue
		}
		quick := s.quick
		if len(o.only) > 0 {
			quick = max(quick, result.MedianRuns) // it was asked for by its name
		}
		for run := range o.count(s.runs, quick) {
			for _, m := range o.measurements(&s, run+1) {
				if o.quick && m.estimate() > direct {
					slow = append(slow, m)
				} else {
					timed = append(timed, m)
				}
			}
		}
	}
	for run := range o.count(matrixRuns, 1) {
		for _, p := range o.pairs() {
			matrix = append(matrix, o.measurements(cell(p), run+1)...)
		}
	}
	steps := []step{{measurements: timed, alone: true}, {measurements: matrix}}
	if o.quick {
		steps = []step{{measurements: append(slow, matrix...)}, {measurements: timed, alone: true}}
	}
	return slices.DeleteFunc(steps, func(s step) bool { return len(s.measurements) == 0 })
}

// count returns how often something is run.
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

// measurements returns one run of each implementation.
func (o *options) measurements(s *scenario, run int) (ms []*measurement) {
	for _, impl := range s.impls {
		if o.quick && impl == result.DCUtRQUIC && s.name != result.Clean {
			continue // the summary can do without
		}
		ms = append(ms, &measurement{scenario: s, impl: impl, run: run, seed: o.seed + uint64(run), record: o.html != "" && run == 1})
	}
	return ms
}

// Rough durations, to estimate how long all will take.
const (
	direct  = 1200 * time.Millisecond // until the relayed connection, the direct one, and the lab's end
	failing = 17 * time.Second        // DCUtR where nothing comes up: three attempts of 5 s
	warmUp  = 5 * time.Second         // for as many as are made ready at once
	load    = 450 * time.Millisecond  // on two cores, for all of a measurement
)

// estimate returns how long a prepared measurement takes.
func (m *measurement) estimate() time.Duration {
	s := m.scenario
	switch {
	case m.impl != result.DCUtR:
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
	for _, m := range s.measurements {
		switch e := m.estimate(); {
		case s.alone:
			sum += e
		case e > direct:
			sum += load + e/atOnce
		default:
			sum += load
		}
	}
	if s.alone {
		sum += warmUp * time.Duration((len(s.measurements)+ahead-1)/ahead)
	}
	return sum
}

// estimate returns how long a plan takes.
func (o *options) estimate(steps []step) (sum time.Duration) {
	for _, s := range steps {
		sum += s.estimate()
	}
	return sum
}

// scenarioNames returns the values of -only.
func scenarioNames() []string { return append([]string{result.Matrix}, roughNames()...) }

func roughNames() (names []string) {
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
