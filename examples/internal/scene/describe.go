package scene

import (
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natwords"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// Describe prints where each host is, and what the NATs do.
func (s *Scene) Describe(out *console.Console) {
	o := s.opts
	rough := ""
	if o.Jitter > 0 {
		rough += " and up to " + millis(o.Jitter) + " more"
	}
	if o.Loss > 0 {
		rough += fmt.Sprintf(", losing %g %%", 100*o.Loss)
	}
	out.Line("lab", "relay  %s, with a STUN server, %s", s.Relay.Addr(), o.from(o.RelayOneWay))
	out.Line("", "alice  %s, %s, %s%s", OuterAddr(s.Alice), behind(o.A), o.from(o.OneWay), rough)
	out.Line("", "bob    %s, %s, %s%s", OuterAddr(s.Bob), behind(o.B), o.from(o.OneWay), rough)
	o.describeNATs(out)
}

// describeNATs explains the NATs, and names their kinds.
func (o Options) describeNATs(out *console.Console) {
	type owned struct {
		whose string
		nat   natlab.Behaviour
	}
	nats := []owned{{"alice's", o.A}, {"bob's", o.B}}
	if o.A == o.B {
		nats = []owned{{"both", o.A}}
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

// from returns where a site is.
func (o Options) from(oneWay time.Duration) string {
	if o.Bridge {
		return "on a bridge"
	}
	return millis(oneWay) + " from the core"
}

func behind(nat natlab.Behaviour) string {
	switch {
	case nat == (natlab.Behaviour{}):
		return "without NAT"
	case nat.Mapping == natlab.Public:
		return "behind a firewall"
	}
	return "behind a NAT"
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%g ms", float64(d)/float64(time.Millisecond))
}
