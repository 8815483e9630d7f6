package gather

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	random := stun.Behaviour{Mapping: stun.EIM, Ports: stun.Random}
	preserved := stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved}
	sequential := stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1}
	block := stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Block}
	pool := stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}
	many := addrPorts("46.0.0.1:1001", "46.0.0.1:1002", "46.0.0.1:1003", "46.0.0.1:1004", "46.0.0.1:1005", "46.0.0.1:1006", "46.0.0.1:1007", "46.0.0.1:1008", "46.0.0.1:1009")
	no46 := func(as []netip.AddrPort) []netip.AddrPort {
		return slices.DeleteFunc(as, func(a netip.AddrPort) bool { return strings.HasPrefix(a.String(), "46.") })
	}
	for name, tc := range map[string]struct {
		behaviour     stun.Behaviour
		fresh         bool
		first, second []netip.AddrPort
		addrs         string // of the host
		ipv6          string
		options       Options
		want          string // candidates of local port 5000
	}{
		"one":                     {behaviour: random, first: addrPorts("46.0.0.1:4000"), want: "R 46.0.0.1:4000"},
		"preserved, maybe":        {first: addrPorts("46.0.0.1:4000"), want: "R 46.0.0.1:4000, P 46.0.0.1:5000"},
		"preserved, and it is":    {first: addrPorts("46.0.0.1:5000"), want: "R 46.0.0.1:5000"},
		"preserved, IPv4 only":    {first: addrPorts("46.0.0.1:4000", "[2a00::1]:4000"), want: "R 46.0.0.1:4000, R [2a00::1]:4000, P 46.0.0.1:5000"},
		"two ports":               {behaviour: random, first: addrPorts("46.0.0.1:4000"), second: addrPorts("46.0.0.1:4001"), want: "R 46.0.0.1:4000, R 46.0.0.1:4001 of 1"},
		"public IPv6":             {behaviour: random, first: addrPorts("46.0.0.1:4000"), ipv6: "2a00::1", want: "R 46.0.0.1:4000, R [2a00::1]:5000"},
		"public IPv6, known":      {behaviour: random, first: addrPorts("46.0.0.1:4000", "[2a00::2]:6000"), ipv6: "2a00::1", want: "R 46.0.0.1:4000, R [2a00::2]:6000"},
		"listeners":               {behaviour: random, first: addrPorts("46.0.0.1:4000"), options: Options{Listeners: addrPorts("46.0.0.1:80", "46.0.0.1:4001", "[2a00::1]:4001", "46.0.0.1:4002")}, want: "R 46.0.0.1:4000, L 46.0.0.1:4001, L [2a00::1]:4001"},
		"fresh, preserved":        {behaviour: preserved, fresh: true, first: addrPorts("46.0.0.1:4000", "46.0.0.1:4001", "[2a00::1]:4000"), second: addrPorts("46.0.0.1:4009"), want: "P 46.0.0.1:5000"},
		"fresh, two addresses":    {behaviour: preserved, fresh: true, first: addrPorts("46.0.0.1:4000", "46.0.0.2:4001"), want: "P 46.0.0.1:5000, P 46.0.0.2:5000"},
		"fresh, sequential":       {behaviour: sequential, fresh: true, first: addrPorts("46.0.0.1:4000", "46.0.0.1:4001"), second: addrPorts("46.0.0.1:4009"), ipv6: "2a00::1", want: "R 46.0.0.1:4000, R [2a00::1]:5000"},
		"fresh, one of a pool":    {behaviour: preserved, fresh: true, first: addrPorts("46.0.0.1:4000"), addrs: "46.0.0.1 46.0.0.4 2a00::1", want: "P 46.0.0.1:5000, P 46.0.0.4:5000"},
		"fresh, block":            {behaviour: block, fresh: true, first: addrPorts("[2a00::1]:4000", "46.0.0.1:4005"), want: "P 46.0.0.1:4005"},
		"one of a pool":           {behaviour: pool, first: addrPorts("46.0.0.1:4000"), addrs: "46.0.0.1 46.0.0.4", want: "R 46.0.0.1:4000, P 46.0.0.1:5000, P 46.0.0.4:5000"},
		"one of a pool, EIM":      {behaviour: random, first: addrPorts("46.0.0.1:4000"), addrs: "46.0.0.1 46.0.0.4", want: "R 46.0.0.1:4000"},
		"pool, IPv6 only":         {behaviour: pool, first: addrPorts("[2a00::1]:4000"), addrs: "46.0.0.4", want: "R [2a00::1]:4000"},
		"too many":                {behaviour: random, first: many, second: addrPorts("46.0.0.1:4009"), ipv6: "2a00::1", want: "R 46.0.0.1:1001, R 46.0.0.1:1002, R 46.0.0.1:1003, R 46.0.0.1:1004, R 46.0.0.1:1005, R 46.0.0.1:1006, R 46.0.0.1:1007, R 46.0.0.1:1008"},
		"no room for the second":  {behaviour: random, first: many[:7], second: addrPorts("46.0.0.1:4008", "46.0.0.1:4009"), want: "R 46.0.0.1:1001, R 46.0.0.1:1002, R 46.0.0.1:1003, R 46.0.0.1:1004, R 46.0.0.1:1005, R 46.0.0.1:1006, R 46.0.0.1:1007"},
		"filtered":                {first: addrPorts("46.0.0.1:4000", "[2a00::1]:4000"), second: addrPorts("46.0.0.1:4001"), options: Options{Filter: no46, Listeners: addrPorts("46.0.0.1:4001")}, want: "R [2a00::1]:4000"},
		"filtered, all":           {first: addrPorts("46.0.0.1:4000"), options: Options{Filter: no46}},
		"filtered, fresh":         {behaviour: preserved, fresh: true, first: addrPorts("46.0.0.1:4000"), options: Options{Filter: no46}},
		"what the filter adds":    {behaviour: random, first: addrPorts("46.0.0.1:4000"), options: Options{Filter: func(as []netip.AddrPort) []netip.AddrPort { return append(as, many...) }}, want: "R 46.0.0.1:4000"},
		"the filter gets a clone": {behaviour: random, first: addrPorts("46.0.0.1:4000"), options: Options{Filter: func(as []netip.AddrPort) []netip.AddrPort { as[0] = many[0]; return as }}},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{behaviour: tc.behaviour, ports: []observedPort{{reflexive: tc.first}}}
			if tc.second != nil {
				s.ports = append(s.ports, observedPort{reflexive: tc.second})
			}
			for _, a := range strings.Fields(tc.addrs) {
				s.addrs = append(s.addrs, netip.MustParseAddr(a))
			}
			ipv6, _ := netip.ParseAddr(tc.ipv6)
			var got []string
			for _, c := range candidates(s, 5000, tc.fresh, ipv6, tc.options) {
				kind := map[punch.Kind]string{punch.Reflexive: "R", punch.Predicted: "P", punch.Listener: "L"}[c.Kind]
				if got = append(got, fmt.Sprintf("%s %s", kind, c.Addr)); c.Port != 0 {
					got[len(got)-1] += fmt.Sprintf(" of %d", c.Port)
				}
			}
			if got := strings.Join(got, ", "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestNeedsFreshPort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		behaviour stun.Behaviour
		want      bool
	}{
		"nothing known":         {stun.Behaviour{}, false},
		"EIM":                   {stun.Behaviour{Mapping: stun.EIM, Ports: stun.Sequential}, false},
		"APDM, sequential":      {stun.Behaviour{Mapping: stun.APDM, Ports: stun.Sequential}, true},
		"APDM, block":           {stun.Behaviour{Mapping: stun.APDM, Ports: stun.Block}, true},
		"ADM, preserved":        {stun.Behaviour{Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Preserved}, true},
		"APDM, random":          {stun.Behaviour{Mapping: stun.APDM, Ports: stun.Random}, false},
		"APDM, unknown ports":   {stun.Behaviour{Mapping: stun.APDM}, false},
		"APDM, lets anybody in": {stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Sequential}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PredictsPort(tc.behaviour); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
