package main

import (
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A scenario is a network, two peers in it, the implementations that connect them, and how often
// each tries.
type scenario struct {
	name string
	what string // it is, in a line

	a, b         natlab.Behaviour // of the dialler's NAT, and the listener's
	peers, relay time.Duration    // one way to the core
	toA, toB     time.Duration    // on top of that, from the relay to the dialler, or the listener
	jitter       time.Duration    // at most, on each peer's link
	loss         float64          // on each peer's link, from the dial on
	hold         time.Duration    // the listener's process stands still for so long

	impls       []result.Impl
	runs, quick int           // of each implementation; quick: with -quick
	dcutr       time.Duration // that DCUtR takes, about; 0: a second or so
}

// path returns the round trips of a scenario in words. A direct one passes each peer's link twice;
// a relayed one also the relay's, once for each peer and way.
func (s *scenario) path() string {
	direct := 4 * s.peers
	relayed := direct + 4*s.relay + s.toA + s.toB
	return fmt.Sprintf("round trip %d ms direct, %d ms relayed", direct.Milliseconds(), relayed.Milliseconds())
}

const ms = time.Millisecond

var (
	overTCP = []result.Impl{result.Simopen, result.DCUtR}
	andQUIC = append(overTCP, result.DCUtRQUIC)
)

// The NATs of the rough scenarios.
var (
	silent   = natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF}
	refusing = natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST}
	fragile  = natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST, RSTKills: true}
	open     = natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.EIF}
	byAddr   = natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.ADF, Unsolicited: natlab.UnsolicitedRST}
	clashing = natlab.Behaviour{Mapping: natlab.APDM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST, Ports: natlab.PortOverload, Clash: true}
	random   = natlab.Behaviour{Mapping: natlab.APDM, Filtering: natlab.APDF, Ports: natlab.PortRandom}
)

// rough are the scenarios besides the matrix.
var rough = []scenario{
	{
		name: result.Clean, what: "usual NATs, nothing is lost or late",
		a: silent, b: silent, peers: 20 * ms, relay: 10 * ms,
		impls: andQUIC, runs: 10, quick: result.MedianRuns,
	},
	{
		name: "near", what: "near peers, a far relay, NATs that refuse with RST",
		a: refusing, b: refusing, peers: 2 * ms, relay: 50 * ms,
		impls: overTCP, runs: 5,
	},
	{
		name: result.RSTAsym, what: "the relay is 60 ms slower to the listener than back, near peers, RST",
		a: refusing, b: refusing, peers: 2 * ms, relay: 30 * ms, toB: 60 * ms,
		impls: overTCP, runs: 5, quick: result.MedianRuns, dcutr: 12 * time.Second,
	},
	{
		name: "rstkills-asym", what: "the relay is 60 ms slower to the dialler, a RST kills the mapping",
		a: fragile, b: fragile, peers: 2 * ms, relay: 30 * ms, toA: 60 * ms,
		impls: overTCP, runs: 5, dcutr: 40 * time.Second,
	},
	{
		name: "clash", what: "the dialler's NAT keeps a session with who was refused, near peers, RST",
		a: clashing, b: refusing, peers: 10 * ms, relay: 30 * ms,
		impls: overTCP, runs: 5,
	},
	{
		name: result.Loss5, what: "5 % of the packets are lost at each peer",
		a: silent, b: silent, peers: 20 * ms, relay: 10 * ms, loss: 0.05,
		impls: andQUIC, runs: 20, quick: result.P90Runs,
	},
	{
		name: "loss5-far", what: "the same over 160 ms of round trip",
		a: silent, b: silent, peers: 40 * ms, relay: 10 * ms, loss: 0.05,
		impls: overTCP, runs: 5,
	},
	{
		name: "loss10", what: "10 % lost, 160 ms, NATs that refuse with RST",
		a: refusing, b: refusing, peers: 40 * ms, relay: 10 * ms, loss: 0.10,
		impls: overTCP, runs: 5,
	},
	{
		name: "jitter", what: "up to 40 ms of jitter at each peer, RST",
		a: refusing, b: refusing, peers: 20 * ms, relay: 10 * ms, jitter: 40 * ms,
		impls: overTCP, runs: 5,
	},
	{
		name: "slow-start", what: "the listener's process stands still for 300 ms, RST",
		a: refusing, b: refusing, peers: 20 * ms, relay: 10 * ms, hold: 300 * ms,
		impls: overTCP, runs: 5,
	},
	{
		name: "one-sided-eif", what: "the dialler's NAT lets in anybody, the listener's ports are random",
		a: open, b: random, peers: 20 * ms, relay: 10 * ms,
		impls: overTCP, runs: 5, dcutr: 22 * time.Second,
	},
	{
		name: "one-sided-adf", what: "the dialler's NAT lets in known addresses, the listener's ports are random",
		a: byAddr, b: random, peers: 20 * ms, relay: 10 * ms,
		impls: overTCP, runs: 5, dcutr: 22 * time.Second,
	},
}

// scenarios returns the rough scenarios for the page.
func scenarios() (all []page.Scenario) {
	for _, s := range rough {
		all = append(all, page.Scenario{Name: s.name, Words: s.what, Path: s.path(), A: s.a.String(), B: s.b.String()})
	}
	return all
}
