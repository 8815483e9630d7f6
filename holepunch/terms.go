package holepunch

import (
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Terms are what a peer says of itself for one round of an attempt.
type Terms struct {
	Candidates []Candidate
	Behaviour  stun.Behaviour // of its NAT, as far as it is known
	Guessing   bool           // it is willing to guess ports
	Following  bool           // its predicted candidates are still to come, see [Signal.More]
	Security   []string       // of a responder: the security protocols that it negotiates
}

// Impossible returns nil if the two sides may get a connection, or else an error
// with the reason and the behaviours that it rests on. NATs that allow none are
// no obstacle to IPv6, to a listener that anybody can reach, or within a site.
func Impossible(own, theirs Terms) error {
	if otherWay(own, theirs) || Guesses(own, theirs) != NoGuess {
		return nil
	}
	return noWay(own.Behaviour, theirs.Behaviour)
}

// noWay returns why two NATs allow no connection, or nil.
func noWay(own, theirs stun.Behaviour) error {
	outcome := Predict(own, theirs)
	if outcome.Possible() {
		return nil
	}
	return fmt.Errorf("%w (this side: %s; the other: %s)", outcome.Reason, own, theirs)
}

// otherWay tells whether there may be one that the NATs have no say in.
func otherWay(own, theirs Terms) bool {
	return has(own, ipv6) && has(theirs, ipv6) ||
		has(own, listener) || has(theirs, listener) ||
		SameSite(own.Candidates, theirs.Candidates)
}

// Guesses is our part in guessing ports, if both are willing, nothing else can
// help, and one side has the same port towards all that are tried.
func Guesses(own, theirs Terms) Guess {
	ours, other := foresight(own.Behaviour), foresight(theirs.Behaviour)
	switch {
	case !own.Guessing || !theirs.Guessing || otherWay(own, theirs),
		Predict(own.Behaviour, theirs.Behaviour).Reason != ErrPortFiltered:
		return NoGuess
	case ours == none && other == exact:
		return OfferPorts
	case ours == exact && other == none:
		return GuessPorts
	default:
		return NoGuess
	}
}

func has(t Terms, is func(Candidate) bool) bool { return slices.ContainsFunc(t.Candidates, is) }

func ipv6(c Candidate) bool     { return c.Addr.Addr().Is6() }
func listener(c Candidate) bool { return c.Kind == pb.Candidate_LISTENER }

// The constants of pb have the values of package stun's: both are on the wire.

func behaviourToPB(b stun.Behaviour) *pb.Behaviour {
	if b == (stun.Behaviour{}) {
		return nil
	}
	return &pb.Behaviour{
		Mapping:     pb.Behaviour_Mapping(b.Mapping),
		Filtering:   pb.Behaviour_Filtering(b.Filtering),
		Ports:       pb.Behaviour_Ports(b.Ports),
		Step:        int32(b.Step),
		Unsolicited: pb.Behaviour_Unsolicited(b.Unsolicited),
		BareSyn:     pb.Behaviour_Fact(b.BareSYN),
		Hairpin:     pb.Behaviour_Fact(b.Hairpin),
		Persistent:  pb.Behaviour_Fact(b.Persistent),
	}
}

// behaviourFromPB takes a value that this version does not know for unknown.
func behaviourFromPB(p *pb.Behaviour) stun.Behaviour {
	return stun.Behaviour{
		Mapping:     known(p.GetMapping(), stun.APDM),
		Filtering:   known(p.GetFiltering(), stun.APDF),
		Ports:       known(p.GetPorts(), stun.Random),
		Step:        int(p.GetStep()),
		Unsolicited: known(p.GetUnsolicited(), stun.ICMP),
		BareSYN:     known(p.GetBareSyn(), stun.No),
		Hairpin:     known(p.GetHairpin(), stun.No),
		Persistent:  known(p.GetPersistent(), stun.No),
	}
}

// known is the number on the wire, or 0 if it is beyond the last that is known.
func known[T ~uint8, N ~int32](wire N, last T) T {
	if wire < 0 || wire > N(last) {
		return 0
	}
	return T(wire)
}
