package show

import (
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natwords"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// NATs explains alice's NAT and bob's, and names their kinds.
func NATs(out *console.Console, alice, bob natlab.Behaviour) {
	type owned struct {
		whose string
		nat   natlab.Behaviour
	}
	nats := []owned{{"alice's", alice}, {"bob's", bob}}
	if alice == bob {
		nats = []owned{{"both", alice}}
	}
	label := "NAT"
	for _, n := range nats {
		if n.nat == (natlab.Behaviour{}) {
			continue // none
		}
		out.Line(label, "%s (%s):", n.whose, n.nat)
		label = ""
		for _, line := range natwords.Describe(n.nat) {
			out.Line("", "  %s", line)
		}
	}
}
