package main

import (
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// kinds are the NATs of the matrix, on either side.
var kinds = []string{
	"public",
	"eim-eif",
	"eim-adf",
	"eim-apdf",
	"eim-apdf-rst",
	"eim-apdf-rst-rstkills",
	"apdm-apdf-overload", // Linux masquerade
	"apdm-apdf-sequential",
	"apdm-apdf-random",
	"eim-apdf-nosyn",
}

// nats returns what the summary goes by.
func nats(people population) result.NATs {
	return result.NATs{Kinds: kinds, Punchable: punchable, Shares: people.shares()}
}

// quickPairs have each kind once on each side, and pairs of every sort: that work, that need port
// prediction, that work from one side, and that cannot.
var quickPairs = []result.Pair{
	{A: "apdm-apdf-random", B: "apdm-apdf-random"}, // the slow ones first
	{A: "apdm-apdf-sequential", B: "eim-apdf"},
	{A: "eim-apdf", B: "apdm-apdf-sequential"},
	{A: "public", B: "eim-apdf-nosyn"},
	{A: "eim-eif", B: "eim-apdf-rst"},
	{A: "eim-adf", B: "public"},
	{A: "eim-apdf-rst", B: "apdm-apdf-overload"},
	{A: "eim-apdf-rst-rstkills", B: "eim-adf"},
	{A: "apdm-apdf-overload", B: "eim-apdf-rst-rstkills"},
	{A: "eim-apdf-nosyn", B: "eim-eif"},
}

// allPairs returns the whole matrix, row by row.
func allPairs() (pairs []result.Pair) {
	for _, a := range kinds {
		for _, b := range kinds {
			pairs = append(pairs, result.Pair{A: a, B: b})
		}
	}
	return pairs
}

// cell returns the scenario of a pair in the matrix: a clean network.
func cell(p result.Pair) *scenario {
	return &scenario{
		name: result.Matrix,
		a:    mustParse(p.A), b: mustParse(p.B),
		peers: 20 * ms, relay: 10 * ms,
		impls: overTCP,
	}
}

func mustParse(words string) natlab.Behaviour {
	b, err := natlab.ParseBehaviour(words)
	if err != nil {
		panic(err)
	}
	return b
}

// punchable reports whether a punch can pass two NATs at all, short of guessing ports. It is the
// comparison's own rule, and no implementation's: each side's external port is predictable; or one
// side's is, and its filter admits the other from any port. And one SYN must be admitted.
func punchable(dialler, listener string) bool {
	a, b := mustParse(dialler), mustParse(listener)
	known := func(n natlab.Behaviour) bool {
		return n.Mapping == natlab.Public || n.Mapping == natlab.EIM || n.Ports != natlab.PortRandom
	}
	loose := func(n natlab.Behaviour) bool { return n.Filtering != natlab.APDF && !n.NoSYN }
	switch {
	case a.NoSYN && b.NoSYN:
		return false
	case known(a) && known(b):
		return true
	default:
		return known(a) && loose(a) || known(b) && loose(b)
	}
}
