package holepunch

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func candidates(kind pb.Candidate_Kind, ss ...string) []Candidate {
	var cs []Candidate
	for _, a := range addrs(ss...) {
		cs = append(cs, Candidate{Kind: kind, Addr: a})
	}
	return cs
}

// Two NATs that allow nothing are no obstacle to other ways.
func TestImpossible(t *testing.T) {
	v4 := Reflexive(addrs("46.0.1.1:40000")...)
	elsewhere := Reflexive(addrs("46.0.2.1:40000")...)
	v6 := Reflexive(addrs("46.0.2.1:40000", "[2a00::2]:40000")...)
	for name, tc := range map[string]struct {
		own, theirs Terms
		want        Reason
	}{
		"both random":            {Terms{Candidates: v4, Behaviour: random}, Terms{Candidates: elsewhere, Behaviour: random}, ErrUnpredictable},
		"a filter by port":       {Terms{Candidates: v4, Behaviour: portFilter}, Terms{Candidates: elsewhere, Behaviour: random}, ErrPortFiltered},
		"no bare SYN":            {Terms{Candidates: v4, Behaviour: noBareSYN, Guessing: true}, Terms{Candidates: elsewhere, Behaviour: noBareSYN, Guessing: true}, ErrNoBareSYN},
		"IPv6 on one side":       {Terms{Candidates: v4, Behaviour: random}, Terms{Candidates: v6, Behaviour: random}, ErrUnpredictable},
		"IPv6 on both":           {Terms{Candidates: v6, Behaviour: random}, Terms{Candidates: v6, Behaviour: random}, ""},
		"a listener":             {Terms{Candidates: v4, Behaviour: random}, Terms{Candidates: candidates(pb.Candidate_LISTENER, "46.0.2.1:4001"), Behaviour: random}, ""},
		"the same site":          {Terms{Candidates: v4, Behaviour: random}, Terms{Candidates: v4, Behaviour: random}, ""},
		"one willing to guess":   {Terms{Candidates: v4, Behaviour: portFilter, Guessing: true}, Terms{Candidates: elsewhere, Behaviour: random}, ErrPortFiltered},
		"both willing to guess":  {Terms{Candidates: v4, Behaviour: portFilter, Guessing: true}, Terms{Candidates: elsewhere, Behaviour: random, Guessing: true}, ""},
		"nothing to guess there": {Terms{Candidates: v4, Behaviour: random, Guessing: true}, Terms{Candidates: elsewhere, Behaviour: random, Guessing: true}, ErrUnpredictable},
		"possible":               {Terms{Candidates: v4, Behaviour: portFilter}, Terms{Candidates: elsewhere, Behaviour: sequential}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{Impossible(tc.own, tc.theirs), Impossible(tc.theirs, tc.own)} {
				if got := ReasonOf(err); got != tc.want || (err == nil) != (tc.want == "") {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			}
		})
	}
}

func TestGuesses(t *testing.T) {
	easy, hard := Terms{Behaviour: portFilter, Guessing: true}, Terms{Behaviour: random, Guessing: true}
	if got := Guesses(easy, hard); got != GuessPorts {
		t.Errorf("the side with the known port: got %d, want GuessPorts", got)
	}
	if got := Guesses(hard, easy); got != OfferPorts {
		t.Errorf("the side with random ports: got %d, want OfferPorts", got)
	}
	if got := Guesses(Terms{Behaviour: sequential, Guessing: true}, hard); got != NoGuess {
		t.Errorf("where each try would come from another port: got %d, want NoGuess", got)
	}
	if got := Guesses(easy, Terms{Behaviour: sequential, Guessing: true}); got != NoGuess {
		t.Errorf("where ports can be foretold: got %d, want NoGuess", got)
	}
}

func TestLANCandidates(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24"), netip.MustParsePrefix("fd00::7/64"), netip.MustParsePrefix("46.0.9.9/24")}
	own := Reflexive(addrs("46.0.1.1:40000")...)
	neighbour := Reflexive(addrs("46.0.1.1:40001")...)
	stranger := Reflexive(addrs("46.0.2.1:40001")...)
	for name, tc := range map[string]struct {
		peer []Candidate
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
			got, err := Admissible(own, slices.Concat(tc.peer, candidates(pb.Candidate_LAN, tc.lan...)), links)
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
	own := append(Reflexive(addrs("46.0.1.1:40000")...), candidates(pb.Candidate_LAN, "192.168.1.7:40000")...)
	for _, kind := range []pb.Candidate_Kind{pb.Candidate_REFLEXIVE, pb.Candidate_PREDICTED, pb.Candidate_LISTENER} {
		peer := candidates(kind, "46.0.1.1:40001", "10.9.9.9:8080", "192.168.1.9:9200")
		got, err := Admissible(own, peer, []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")})
		if err != nil || !slices.Equal(addrsOf(got), addrs("46.0.1.1:40001")) {
			t.Errorf("%s: got %v, %v, want the public one alone", kind, got, err)
		}
	}
}

// TestRounds: the signalling of an attempt with a second round and further candidates.
func TestRounds(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	ctx := t.Context()
	fresh := Terms{Candidates: Foretell(netip.MustParseAddrPort("46.0.1.1:50000"), 1), Behaviour: sequential}
	responder := make(chan error, 1)
	go func() {
		responder <- func() error {
			offer, err := Receive(ctx, b)
			if err != nil {
				return err
			}
			if err := offer.Answer(0, theirs); err != nil {
				return err
			}
			for _, want := range []pb.Message_Type{pb.Message_CANDIDATES, pb.Message_RETRY} {
				n, err := offer.Next(ctx)
				if err != nil || n.Type != want {
					return errors.Join(err, errors.New("got "+n.Type.String()))
				}
				if n.Type == pb.Message_RETRY && (n.Round != 1 || !slices.Equal(n.Terms.Candidates, fresh.Candidates) || n.Terms.Behaviour != sequential) {
					return errors.New("wrong terms of the second round")
				}
			}
			return offer.Answer(1, theirs)
		}()
	}()
	sig, _, err := Offer(ctx, a, ours, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	sig.More(candidates(pb.Candidate_LAN, "192.168.1.8:40000"))
	if err := sig.Retry(1, fresh); err != nil {
		t.Fatal(err)
	}
	n, err := sig.Next(ctx)
	if err != nil || n.Type != pb.Message_ANSWER || n.Round != 1 || n.Err != nil {
		t.Errorf("got %+v, %v, want the ANSWER of round 1", n, err)
	}
	if err := <-responder; err != nil {
		t.Error(err)
	}
}

// TestImpossibleIsExplained: a responder that knows that there is no way refuses, and the
// initiator says why in its own words.
func TestImpossibleIsExplained(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		if offer, err := Receive(t.Context(), b); err == nil {
			offer.RefuseImpossible(random)
		}
	}()
	own := Terms{Candidates: ours.Candidates, Behaviour: random}
	_, _, err := Offer(t.Context(), a, own, netip.AddrPort{})
	var punch *PunchError
	if !errors.As(err, &punch) || punch.Op != "offer" || punch.Reason() != ErrUnpredictable || !strings.Contains(err.Error(), "this side: APDM, APDF, random") {
		t.Errorf("got %v, want an offer's ErrUnpredictable with both behaviours", err)
	}
}

// A value of a behaviour that a later version knows is unknown here.
func TestBehaviourOfALaterVersion(t *testing.T) {
	got := behaviourFromPB(&pb.Behaviour{Mapping: 9, Filtering: 9, Ports: 9, Unsolicited: -1, BareSyn: 7, Hairpin: pb.Behaviour_NO})
	if want := (stun.Behaviour{Hairpin: stun.No}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A candidate that is no reflexive address leads to the first port, whatever the peer says.
func TestOnlyReflexiveCandidatesHaveASecondPort(t *testing.T) {
	addr := toBytes(netip.MustParseAddrPort("46.0.1.1:40000"))
	p := &pb.Message{Attempt: make([]byte, len(attemptID{})), Candidates: []*pb.Candidate{
		{Kind: pb.Candidate_REFLEXIVE, Addr: addr, Local: 1},
		{Kind: pb.Candidate_REFLEXIVE, Addr: addr, Local: 2}, // of a later version
		{Kind: pb.Candidate_PREDICTED, Addr: addr, Local: 2},
		{Kind: pb.Candidate_LISTENER, Addr: addr, Local: 1},
		{Kind: pb.Candidate_LAN, Addr: addr, Local: 1<<32 - 1},
	}}
	m, err := unmarshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var locals []int
	for _, c := range m.terms.Candidates {
		locals = append(locals, c.Local)
	}
	if want := []int{1, 0, 0, 0}; !slices.Equal(locals, want) {
		t.Errorf("got %v, want %v", locals, want)
	}
}
