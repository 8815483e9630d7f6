package holepunch

import (
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// impossible returns nil if the two sides may get a connection, or else an error with the reason and
// the behaviours that it rests on. NATs that allow none are no obstacle to IPv6, to a listener that
// anybody can reach, or within a site.
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
