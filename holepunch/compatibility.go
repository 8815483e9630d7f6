package holepunch

import (
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A Way is how two peers can get a direct connection.
type Way uint8

const (
	// None: there is no way; the Outcome has the reason.
	None Way = iota
	// Works: each side knows the other's external port, and their SYNs cross.
	Works
	// OneSided: one side lets SYNs in from any port, so that the other's port need not be known.
	OneSided
	// ByPrediction: as Works or OneSided, but a port has to be predicted. Other traffic can spoil
	// that, so the peers try several ports, and several times.
	ByPrediction
)

// String returns the way in words, as in "works by prediction".
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

// Possible reports whether there is a way.
func (o Outcome) Possible() bool { return o.Way != None }

// String returns the way in words, or "cannot" and the reason.
func (o Outcome) String() string {
	if o.Possible() {
		return o.Way.String()
	}
	return fmt.Sprintf("%s: %v", o.Way, o.Reason)
}

// Compatibility returns whether and how two hosts behind NATs that behave as a and b can get a
// direct TCP connection. The order of the two does not matter. Unknown properties are taken as
// favourable, so an Outcome without a way rests on facts.
//
// There are two ways. In the first the SYNs cross: each side knows the external port of the other,
// and at least one SYN passes the other's NAT. In the second one side's SYN reaches the other's
// listener: only the listener's port must be known, and its filter must let in an address from any
// port. If the listener's network lets no SYN out, its filter must let in anybody.
func Compatibility(a, b stun.Behaviour) Outcome {
	crossing := min(portKnowledge(a), portKnowledge(b))
	listening := max(listenerKnowledge(a), listenerKnowledge(b))
	noBareSYN := a.BareSYN == stun.No && b.BareSYN == stun.No
	if noBareSYN {
		crossing = portUnknown
	}
	switch {
	case a.Egress == stun.No && !letsIn(a, b), b.Egress == stun.No && !letsIn(b, a):
		return Outcome{Reason: ErrEgressFiltered}
	case a.Egress == stun.No || b.Egress == stun.No:
		return Outcome{Way: OneSided}
	case noBareSYN && listening == portUnknown:
		return Outcome{Reason: ErrNoBareSYN}
	case crossing == portKnown:
		return Outcome{Way: Works}
	case listening == portKnown:
		return Outcome{Way: OneSided}
	case crossing == portPredicted || listening == portPredicted:
		return Outcome{Way: ByPrediction}
	case max(portKnowledge(a), portKnowledge(b)) == portUnknown:
		return Outcome{Reason: ErrUnpredictable}
	case admitsAddress(a) && a.BareSYN == stun.No || admitsAddress(b) && b.BareSYN == stun.No:
		return Outcome{Reason: ErrNoBareSYN}
	default:
		return Outcome{Reason: ErrPortFiltered}
	}
}

// letsIn reports whether a host's NAT lets in a peer that it has sent nothing to, at the mapping
// that observers saw, and the peer's SYNs get there.
func letsIn(own, theirs stun.Behaviour) bool {
	anybody := own.Filtering == stun.EIF || own.Filtering == stun.FilteringUnknown && own.BareSYN != stun.No
	return anybody && theirs.Egress != stun.No
}

// passive reports whether a host should wait for its peer to connect: its own NAT lets anybody in,
// and its own SYNs would come from a port that the peer does not know, or not get out. They could
// only be refused. After a refusal the NAT has a session with the peer's endpoint, at another port
// than the one that the peer connects to. It may then drop the peer's SYN as not part of that
// session. Two hosts of that kind would wait for each other, so neither is passive then.
//
// A host whose kernel drops SYNs that answer its own is passive, too, if the peer lets no bare SYN
// in. Of two such hosts the initiator is.
func passive(own, theirs stun.Behaviour, initiator bool) bool {
	if own.Egress == stun.No || theirs.Egress == stun.No {
		return own.Egress == stun.No
	}
	return admitsAnybody(own) && !admitsAnybody(theirs) && portKnowledge(theirs) != portUnknown ||
		admitsStrangers(own) && theirs.BareSYN == stun.No && (initiator || !admitsStrangers(theirs))
}

// admitsStrangers reports whether a host lets in exactly the endpoints to which it has not sent a
// SYN. Kernels that are hardened to refuse simultaneous opens do so.
func admitsStrangers(b stun.Behaviour) bool {
	return b.Filtering == stun.EIF && b.BareSYN == stun.No
}

// admitsAnybody reports whether a NAT lets anybody in, but gives each destination another port.
func admitsAnybody(b stun.Behaviour) bool {
	return listenerKnowledge(b) == portKnown && portKnowledge(b) != portKnown
}

// noInbound reports whether a host's NAT blocks every SYN of its peer, whatever the peer. The punch
// then depends on the host's own SYN reaching the peer's NAT after that has opened.
func noInbound(own stun.Behaviour) bool {
	return own.BareSYN == stun.No && !admitsStrangers(own) ||
		portKnowledge(own) == portUnknown && listenerKnowledge(own) == portUnknown
}

// How well an external port is known before it is used.
const (
	portUnknown = iota
	portPredicted
	portKnown // as observers saw it
)

// portKnowledge returns how well a peer knows the external port towards another peer that it has
// not sent to.
func portKnowledge(b stun.Behaviour) int {
	switch {
	case b.Mapping == stun.EIM || b.Mapping == stun.MappingUnknown:
		return portKnown
	case b.Ports == stun.Random:
		return portUnknown
	default:
		return portPredicted
	}
}

// listenerKnowledge returns how well a peer knows an external port at which its listener is
// reached, from any port, by those that it sends to.
func listenerKnowledge(b stun.Behaviour) int {
	switch {
	case b.Filtering == stun.APDF, b.Filtering == stun.ADF && b.BareSYN == stun.No:
		return portUnknown
	case b.Filtering == stun.EIF:
		return portKnown // at the mapping that observers saw, whatever others there are
	case b.Filtering == stun.FilteringUnknown:
		return max(portKnowledge(b), portPredicted) // it may be EIF
	default:
		return portKnowledge(b)
	}
}

func admitsAddress(b stun.Behaviour) bool { return b.Filtering != stun.APDF }

// impossible returns nil if the two sides may get a connection, or else an error with the reason
// and the behaviours that it rests on. NATs that allow none are no obstacle to IPv6, to a listener
// that anybody can reach, or within a site.
func impossible(own, theirs description) error {
	if otherWay(own, theirs) || guesses(own, theirs) != punch.NoGuess {
		return nil
	}
	return incompatible(own.behaviour, theirs.behaviour)
}

// incompatible returns why two NATs allow no connection, or nil.
func incompatible(own, theirs stun.Behaviour) error {
	outcome := Compatibility(own, theirs)
	if outcome.Possible() {
		return nil
	}
	return fmt.Errorf("%w (this side: %s; the other: %s)", outcome.Reason, own, theirs)
}

// otherWay reports whether there may be a connection that the NATs have no say in.
func otherWay(own, theirs description) bool {
	has := func(d description, is func(punch.Candidate) bool) bool { return slices.ContainsFunc(d.candidates, is) }
	return has(own, isIPv6) && has(theirs, isIPv6) ||
		has(own, isListener) || has(theirs, isListener) ||
		sameSite(own.candidates, theirs.candidates)
}

// guesses returns our part in guessing ports, if both sides are willing, nothing else can help, and
// one side has the same port towards all that are tried.
func guesses(own, theirs description) punch.Guess {
	ours, other := portKnowledge(own.behaviour), portKnowledge(theirs.behaviour)
	switch {
	case !own.guessing || !theirs.guessing || otherWay(own, theirs),
		Compatibility(own.behaviour, theirs.behaviour).Reason != ErrPortFiltered:
		return punch.NoGuess
	case ours == portUnknown && other == portKnown:
		return punch.OfferPorts
	case ours == portKnown && other == portUnknown:
		return punch.GuessPorts
	default:
		return punch.NoGuess
	}
}
