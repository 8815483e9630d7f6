package holepunch

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// A Way is how two peers can get a direct connection.
type Way uint8

const (
	// None: there is no way; the Outcome has the reason.
	None Way = iota
	// Works: each side knows the other's external port, and their SYNs cross.
	Works
	// OneSided: one side lets SYNs in from any port, so that the other's port
	// need not be known.
	OneSided
	// ByPrediction: as the above, but a port has to be foretold, which other
	// traffic can spoil; the peers try several, and again.
	ByPrediction
)

// String is the way in words, as in "works by prediction".
func (w Way) String() string {
	switch w {
	case Works:
		return "works"
	case OneSided:
		return "works from one side"
	case ByPrediction:
		return "works by prediction"
	default:
		return "cannot"
	}
}

// An Outcome is what two NATs allow.
type Outcome struct {
	Way    Way
	Reason Reason // why there is no way, or empty
}

// Possible tells whether there is a way.
func (o Outcome) Possible() bool { return o.Way != None }

// String is the way in words, or "cannot" and the reason.
func (o Outcome) String() string {
	if o.Possible() {
		return o.Way.String()
	}
	return fmt.Sprintf("%s: %s", o.Way, string(o.Reason))
}

// Predict tells whether two hosts behind NATs that behave as a and b can get a
// direct TCP connection, and how. The order of the two does not matter. What is
// not known of a behaviour is taken for the better: an Outcome without a way
// rests on facts.
//
// There are two ways. The SYNs cross: each side knows the external port of the
// other, and one SYN at least passes the other's NAT. Or one side's SYN comes to the
// other's listener: then only that one's port must be known, and its filter must
// let in an address from any port.
func Predict(a, b stun.Behaviour) Outcome {
	crossing := min(foresight(a), foresight(b))
	listening := max(listening(a), listening(b))
	switch {
	case a.BareSYN == stun.No && b.BareSYN == stun.No:
		return Outcome{Reason: ErrNoBareSYN}
	case crossing == exact:
		return Outcome{Way: Works}
	case listening == exact:
		return Outcome{Way: OneSided}
	case crossing == likely || listening == likely:
		return Outcome{Way: ByPrediction}
	case max(foresight(a), foresight(b)) == none:
		return Outcome{Reason: ErrUnpredictable}
	case admitsAddress(a) && a.BareSYN == stun.No || admitsAddress(b) && b.BareSYN == stun.No:
		return Outcome{Reason: ErrNoBareSYN}
	default:
		return Outcome{Reason: ErrPortFiltered}
	}
}

// Passive tells whether a host should leave it to its peer to connect: where its own
// NAT lets anybody in, and its own SYNs would come from a port that the peer does not
// know. They could only be refused; and with the refusal the NAT has a session with the
// peer's endpoint at another port than the one that the peer connects to, and may
// drop the peer's SYN as none of it. A peer of that kind refuses nothing, and does not wait either.
func Passive(own, theirs stun.Behaviour) bool {
	return welcomes(own) && !welcomes(theirs) && foresight(theirs) != none
}

// welcomes tells whether a NAT lets anybody in, but gives each destination another port.
func welcomes(b stun.Behaviour) bool { return listening(b) == exact && foresight(b) != exact }

// Lone tells whether no SYN of its peer gets to a host, whoever that is: then all depends on the host's own,
// and on when they come to the peer's NAT.
func Lone(own stun.Behaviour) bool {
	return own.BareSYN == stun.No || foresight(own) == none && listening(own) == none
}

// How well an external port can be told before it is used.
const (
	none   = iota
	likely // foretold
	exact  // as STUN servers saw it
)

// foresight tells how well a peer knows the external port towards another that it
// has not sent to.
func foresight(b stun.Behaviour) int {
	switch {
	case b.Mapping == stun.EIM || b.Mapping == stun.MappingUnknown:
		return exact
	case b.Ports == stun.Random:
		return none
	default:
		return likely
	}
}

// listening tells how well a peer knows an external port at which its listener
// hears anybody, from any port, that it sends to.
func listening(b stun.Behaviour) int {
	switch {
	case b.BareSYN == stun.No || !admitsAddress(b):
		return none
	case b.Filtering == stun.EIF:
		return exact // at the mapping that STUN servers saw, whatever others there are
	case b.Filtering == stun.FilteringUnknown:
		return max(foresight(b), likely) // it may be EIF
	default:
		return foresight(b)
	}
}

func admitsAddress(b stun.Behaviour) bool { return b.Filtering != stun.APDF }
