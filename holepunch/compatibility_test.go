package holepunch

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Kinds of NAT, as discovery would report them.
var (
	openHost   = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved}
	fullCone   = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Random}
	restricted = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.ADF, Unsolicited: stun.RST}
	portFilter = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.RST}
	noBareSYN  = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, BareSYN: stun.No}
	noBareADF  = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.ADF, BareSYN: stun.No}
	hardened   = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF, BareSYN: stun.No} // but strangers' SYNs
	preserving = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved}
	sequential = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1}
	seqADF     = stun.Behaviour{Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Sequential, Step: 2}
	block      = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Block}
	keptIn     = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Egress: stun.No}
	keptInEIF  = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Random, Egress: stun.No}
	random     = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}
	randomADF  = stun.Behaviour{Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Random}
	randomEIF  = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Random}
	seqEIF     = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Sequential, Step: 1}
	nothing    = stun.Behaviour{}
)

// behaviours is all of them.
var behaviours = []stun.Behaviour{openHost, fullCone, restricted, portFilter, noBareSYN, noBareADF, hardened,
	preserving, sequential, seqADF, block, keptIn, keptInEIF, random, randomADF, randomEIF, seqEIF, nothing}

func TestCompatibility(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b stun.Behaviour
		want Outcome
	}{
		"nothing known":                   {nothing, nothing, Outcome{Way: Works}},
		"both EIM":                        {fullCone, portFilter, Outcome{Way: Works}},
		"EIM and predictable":             {portFilter, sequential, Outcome{Way: ByPrediction}},
		"both predictable":                {sequential, preserving, Outcome{Way: ByPrediction}},
		"both within a block":             {block, block, Outcome{Way: ByPrediction}},
		"kept in, and lets anybody in":    {keptInEIF, random, Outcome{Way: OneSided}},
		"kept in, filter not known":       {stun.Behaviour{Egress: stun.No}, random, Outcome{Way: OneSided}},
		"EIF and random":                  {fullCone, random, Outcome{Way: OneSided}},
		"ADF and random":                  {restricted, random, Outcome{Way: OneSided}},
		"unknown filter and random":       {stun.Behaviour{Mapping: stun.EIM}, random, Outcome{Way: OneSided}},
		"predictable with ADF and random": {seqADF, random, Outcome{Way: ByPrediction}},
		"EIF for all mappings":            {randomEIF, random, Outcome{Way: OneSided}},
		"ports not known":                 {stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF}, portFilter, Outcome{Way: ByPrediction}},
		"one has no bare SYN":             {noBareSYN, portFilter, Outcome{Way: Works}},
		"public and no bare SYN":          {openHost, noBareSYN, Outcome{Way: Works}},

		"hardened and EIM":         {hardened, portFilter, Outcome{Way: Works}},
		"hardened and no bare SYN": {hardened, noBareSYN, Outcome{Way: OneSided}},
		"both hardened":            {hardened, hardened, Outcome{Way: OneSided}},
		"hardened and random":      {hardened, random, Outcome{Way: OneSided}},

		"neither has a bare SYN":      {noBareSYN, noBareADF, Outcome{Reason: ErrNoBareSYN}},
		"no bare SYN for a random":    {noBareADF, random, Outcome{Reason: ErrNoBareSYN}},
		"APDF and random":             {portFilter, random, Outcome{Reason: ErrPortFiltered}},
		"kept in":                     {keptIn, openHost, Outcome{Reason: ErrEgressFiltered}},
		"kept in, no bare SYN":        {stun.Behaviour{BareSYN: stun.No, Egress: stun.No}, openHost, Outcome{Reason: ErrEgressFiltered}},
		"both kept in":                {keptInEIF, keptInEIF, Outcome{Reason: ErrEgressFiltered}},
		"block and random":            {block, random, Outcome{Reason: ErrPortFiltered}},
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
		"hardened, towards no bare SYN":   {hardened, noBareSYN, true},
		"and the other way round, no":     {noBareSYN, hardened, false},
		"both hardened, the responder":    {hardened, hardened, false},
		"hardened, towards a filter":      {hardened, portFilter, false},
		"nothing known":                   {nothing, nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passive(tc.own, tc.theirs, false); got != tc.want {
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
		"but from strangers":          {hardened, false},
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
			if passive(a, b, true) && passive(b, a, false) && Compatibility(a, b).Possible() {
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
		"egress":    func(b *stun.Behaviour) { b.Egress = stun.Unknown },
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

// reflexive returns reflexive candidates of the first port.
func reflexive(as ...netip.AddrPort) []punch.Candidate {
	cs := make([]punch.Candidate, len(as))
	for i, a := range as {
		cs[i] = punch.Candidate{Kind: punch.Reflexive, Addr: a}
	}
	return cs
}

func candidates(kind punch.Kind, ss ...string) []punch.Candidate {
	var cs []punch.Candidate
	for _, a := range addrs(ss...) {
		cs = append(cs, punch.Candidate{Kind: kind, Addr: a})
	}
	return cs
}

// Two NATs that allow nothing are no obstacle to other ways.
func TestImpossible(t *testing.T) {
	v4 := reflexive(addrs("46.0.1.1:40000")...)
	elsewhere := reflexive(addrs("46.0.2.1:40000")...)
	v6 := reflexive(addrs("46.0.2.1:40000", "[2a00::2]:40000")...)
	for name, tc := range map[string]struct {
		own, theirs description
		want        Reason
	}{
		"both random":            {description{candidates: v4, behaviour: random}, description{candidates: elsewhere, behaviour: random}, ErrUnpredictable},
		"a filter by port":       {description{candidates: v4, behaviour: portFilter}, description{candidates: elsewhere, behaviour: random}, ErrPortFiltered},
		"no bare SYN":            {description{candidates: v4, behaviour: noBareSYN, guessing: true}, description{candidates: elsewhere, behaviour: noBareSYN, guessing: true}, ErrNoBareSYN},
		"IPv6 on one side":       {description{candidates: v4, behaviour: random}, description{candidates: v6, behaviour: random}, ErrUnpredictable},
		"IPv6 on both":           {description{candidates: v6, behaviour: random}, description{candidates: v6, behaviour: random}, ""},
		"a listener":             {description{candidates: v4, behaviour: random}, description{candidates: candidates(punch.Listener, "46.0.2.1:4001"), behaviour: random}, ""},
		"the same site":          {description{candidates: v4, behaviour: random}, description{candidates: v4, behaviour: random}, ""},
		"one willing to guess":   {description{candidates: v4, behaviour: portFilter, guessing: true}, description{candidates: elsewhere, behaviour: random}, ErrPortFiltered},
		"both willing to guess":  {description{candidates: v4, behaviour: portFilter, guessing: true}, description{candidates: elsewhere, behaviour: random, guessing: true}, ""},
		"nothing to guess there": {description{candidates: v4, behaviour: random, guessing: true}, description{candidates: elsewhere, behaviour: random, guessing: true}, ErrUnpredictable},
		"possible":               {description{candidates: v4, behaviour: portFilter}, description{candidates: elsewhere, behaviour: sequential}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{impossible(tc.own, tc.theirs), impossible(tc.theirs, tc.own)} {
				if got := ReasonOf(err); got != tc.want || (err == nil) != (tc.want == "") {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			}
		})
	}
}

func TestGuesses(t *testing.T) {
	easy, hard := description{behaviour: portFilter, guessing: true}, description{behaviour: random, guessing: true}
	if got := guesses(easy, hard); got != punch.GuessPorts {
		t.Errorf("the side with the known port: got %d, want GuessPorts", got)
	}
	if got := guesses(hard, easy); got != punch.OfferPorts {
		t.Errorf("the side with random ports: got %d, want OfferPorts", got)
	}
	if got := guesses(description{behaviour: sequential, guessing: true}, hard); got != punch.NoGuess {
		t.Errorf("where each try would come from another port: got %d, want NoGuess", got)
	}
	if got := guesses(easy, description{behaviour: sequential, guessing: true}); got != punch.NoGuess {
		t.Errorf("where ports can be predicted: got %d, want NoGuess", got)
	}
}

func TestLANCandidates(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24"), netip.MustParsePrefix("fd00::7/64"), netip.MustParsePrefix("46.0.9.9/24")}
	own := reflexive(addrs("46.0.1.1:40000")...)
	neighbour := reflexive(addrs("46.0.1.1:40001")...)
	stranger := reflexive(addrs("46.0.2.1:40001")...)
	for name, tc := range map[string]struct {
		peer []punch.Candidate
		lan  []string
		want []string
	}{
		"neighbours":      {neighbour, []string{"192.168.1.8:40001", "[fd00::8]:40001"}, []string{"192.168.1.8:40001", "[fd00::8]:40001"}},
		"more than two":   {neighbour, []string{"192.168.1.8:40001", "192.168.1.9:40001", "192.168.1.10:40001"}, []string{"192.168.1.8:40001", "192.168.1.9:40001"}},
		"another site":    {stranger, []string{"192.168.1.8:40001"}, nil},
		"another network": {neighbour, []string{"192.168.2.8:40001", "10.0.0.1:40001"}, nil},
		"ourselves":       {neighbour, []string{"192.168.1.7:40001"}, nil},
		"low port":        {neighbour, []string{"192.168.1.8:22"}, nil},
		"public":          {neighbour, []string{"46.0.9.8:40001"}, nil},
		"loopback":        {neighbour, []string{"127.0.0.1:40001", "[::1]:40001"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := admissible(own, slices.Concat(tc.peer, candidates(punch.LAN, tc.lan...)), links)
			if err != nil {
				t.Fatal(err)
			}
			if got := addrsOf(got[1:]); !slices.Equal(got, addrs(tc.want...)) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// That we name our private address to a peer of our site is no reason to connect to private
// addresses that it names as public.
func TestOwnLANAddressAdmitsNothing(t *testing.T) {
	own := append(reflexive(addrs("46.0.1.1:40000")...), candidates(punch.LAN, "192.168.1.7:40000")...)
	for _, kind := range []punch.Kind{punch.Reflexive, punch.Predicted, punch.Listener} {
		peer := candidates(kind, "46.0.1.1:40001", "10.9.9.9:8080", "192.168.1.9:9200")
		got, err := admissible(own, peer, []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")})
		if err != nil || !slices.Equal(addrsOf(got), addrs("46.0.1.1:40001")) {
			t.Errorf("kind %d: got %v, %v, want the public one alone", kind, got, err)
		}
	}
}

// TestOwnAddressAtAnotherPort: what listens on the host itself, at an address of its own in public,
// is behind its firewall, and not for a peer to have connected to.
func TestOwnAddressAtAnotherPort(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("46.0.1.1/24"), netip.MustParsePrefix("2a00::1/64")}
	own := reflexive(addrs("46.0.1.1:40000", "[2a00::1]:40000")...)
	for _, kind := range []punch.Kind{punch.Reflexive, punch.Predicted, punch.Listener} {
		got, err := admissible(own, candidates(kind, "46.0.2.1:40001", "46.0.1.1:8080", "[2a00::1]:8080"), links)
		if err != nil || !slices.Equal(addrsOf(got), addrs("46.0.2.1:40001")) {
			t.Errorf("kind %d: got %v, %v, want the peer's alone", kind, got, err)
		}
	}
}
