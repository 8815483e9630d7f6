package holepunch

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// Kinds of NAT, as discovery would tell them.
var (
	openHost   = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved}
	fullCone   = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Random}
	restricted = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.ADF, Unsolicited: stun.RST}
	portFilter = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.RST}
	noBareSYN  = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, BareSYN: stun.No}
	noBareADF  = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.ADF, BareSYN: stun.No}
	preserving = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved}
	sequential = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1}
	seqADF     = stun.Behaviour{Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Sequential, Step: 2}
	random     = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}
	randomADF  = stun.Behaviour{Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Random}
	randomEIF  = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Random}
	seqEIF     = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Sequential, Step: 1}
	nothing    = stun.Behaviour{}
)

// behaviours is all of them.
var behaviours = []stun.Behaviour{openHost, fullCone, restricted, portFilter, noBareSYN, noBareADF,
	preserving, sequential, seqADF, random, randomADF, randomEIF, seqEIF, nothing}

func TestCompatibility(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b stun.Behaviour
		want Outcome
	}{
		"nothing known":                   {nothing, nothing, Outcome{Way: Works}},
		"both EIM":                        {fullCone, portFilter, Outcome{Way: Works}},
		"EIM and predictable":             {portFilter, sequential, Outcome{Way: ByPrediction}},
		"both predictable":                {sequential, preserving, Outcome{Way: ByPrediction}},
		"EIF and random":                  {fullCone, random, Outcome{Way: OneSided}},
		"ADF and random":                  {restricted, random, Outcome{Way: OneSided}},
		"unknown filter and random":       {stun.Behaviour{Mapping: stun.EIM}, random, Outcome{Way: OneSided}},
		"predictable with ADF and random": {seqADF, random, Outcome{Way: ByPrediction}},
		"EIF for all mappings":            {randomEIF, random, Outcome{Way: OneSided}},
		"ports not known":                 {stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF}, portFilter, Outcome{Way: ByPrediction}},
		"one has no bare SYN":             {noBareSYN, portFilter, Outcome{Way: Works}},
		"public and no bare SYN":          {openHost, noBareSYN, Outcome{Way: Works}},

		"neither has a bare SYN":      {noBareSYN, noBareADF, Outcome{Reason: ErrNoBareSYN}},
		"no bare SYN for a random":    {noBareADF, random, Outcome{Reason: ErrNoBareSYN}},
		"APDF and random":             {portFilter, random, Outcome{Reason: ErrPortFiltered}},
		"predictable APDF and random": {sequential, random, Outcome{Reason: ErrPortFiltered}},
		"both random":                 {random, random, Outcome{Reason: ErrUnpredictable}},
		"both random, one with ADF":   {random, randomADF, Outcome{Reason: ErrUnpredictable}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Compatibility(tc.a, tc.b); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if got := Compatibility(tc.b, tc.a); got != tc.want {
				t.Errorf("the other way round: got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPassive(t *testing.T) {
	for name, tc := range map[string]struct {
		own, theirs stun.Behaviour
		want        bool
	}{
		"lets anybody in at another port": {randomEIF, portFilter, true},
		"towards a predicted port":        {randomEIF, sequential, true},
		"towards one that is not known":   {randomEIF, random, false},
		"both let anybody in":             {randomEIF, randomEIF, false},
		"both, at a predicted port":       {seqEIF, seqEIF, false},
		"both, one at a predicted port":   {randomEIF, seqEIF, false},
		"and the other way round":         {seqEIF, randomEIF, false},
		"known port":                      {fullCone, portFilter, false},
		"filter":                          {random, portFilter, false},
		"nothing known":                   {nothing, nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passive(tc.own, tc.theirs); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNoInbound(t *testing.T) {
	for name, tc := range map[string]struct {
		own  stun.Behaviour
		want bool
	}{
		"no bare SYN":                 {noBareSYN, true},
		"random ports and a filter":   {random, true},
		"the same, by address":        {randomADF, true},
		"random ports, all let in":    {randomEIF, false},
		"ports that can be predicted": {sequential, false},
		"one port for all":            {portFilter, false},
		"nothing known":               {nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := noInbound(tc.own); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestOneConnects: two sides do not both wait for the other to connect.
func TestOneConnects(t *testing.T) {
	for _, a := range behaviours {
		for _, b := range behaviours {
			if passive(a, b) && passive(b, a) {
				t.Errorf("%v and %v wait for each other", a, b)
			}
		}
	}
}

// To learn more never makes a way out of none: what is unknown is taken for the
// better.
func TestCompatibilityKnowingLessIsNeverWorse(t *testing.T) {
	forget := map[string]func(*stun.Behaviour){
		"mapping":   func(b *stun.Behaviour) { b.Mapping = stun.MappingUnknown },
		"filtering": func(b *stun.Behaviour) { b.Filtering = stun.FilteringUnknown },
		"ports":     func(b *stun.Behaviour) { b.Ports = stun.PortsUnknown },
		"bare SYN":  func(b *stun.Behaviour) { b.BareSYN = stun.Unknown },
	}
	for _, a := range behaviours {
		for _, b := range behaviours {
			for what, f := range forget {
				less := a
				f(&less)
				if Compatibility(a, b).Possible() && !Compatibility(less, b).Possible() {
					t.Errorf("%v with %v is possible, but not without knowing the %s", a, b, what)
				}
			}
		}
	}
}
