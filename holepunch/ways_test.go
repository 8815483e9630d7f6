package holepunch

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

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

// That we tell a peer of our site where we are there is no reason to connect to private
// addresses that it gives out as public.
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

// TestOwnAddressAtAnotherPort: what listens on the host itself, at an address of its own in public, is behind its
// firewall, and not for a peer to have connected to.
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
