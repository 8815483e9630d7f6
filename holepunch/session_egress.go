package holepunch

import (
	"errors"
	"fmt"
	"os"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Networks that let connections out to some ports only refuse or drop the SYNs of a punch. The
// peer's NAT can cause a refusal or silence just as well. So when a round has no connection after a
// while, an observer shows what becomes of a SYN.

// suspectEgress starts to find out whether connections get out, at most once in a session.
func (s *session) suspectEgress() {
	asked := s.egressAsked
	s.egressAsked = true
	if s.state == punching && !s.usable && !asked {
		s.do.findEgress(addrsOf(s.remote))
	}
}

// onEgress handles the end of findEgress. If no SYN of this side gets out, the peer's may yet get
// in, in the time that a round has in which a port was predicted.
func (s *session) onEgress(fact stun.Fact, why error) {
	if s.state == over || s.usable {
		return
	}
	s.egressWhy = why
	if errors.Is(why, gather.ErrNoRoute) {
		s.fail("open", fmt.Errorf("%w: %w", ErrEgressFiltered, why))
		return
	}
	s.own.behaviour.Egress = fact
	if !s.egressFiltered() {
		return
	}
	noWay := impossible(s.own, s.theirs) != nil
	switch {
	case s.state != punching && noWay: // between two rounds
		s.fail("open", s.cause)
	case s.state != punching:
	case noWay:
		s.do.stopConnects()
		s.do.endRound()
	default:
		s.do.stopConnects()
		s.do.setTimer(roundTimer, predictedWindow)
	}
}

// egressFiltered reports whether no SYN of one side gets out, and there is no way that does not
// take one.
func (s *session) egressFiltered() bool {
	return (s.own.behaviour.Egress == stun.No || s.theirs.behaviour.Egress == stun.No) && !otherWay(s.own, s.theirs)
}

// explainEgress adds to why there is no connection what is known of egress.
func (s *session) explainEgress(err error) error {
	found := s.own.behaviour.Egress == stun.No && s.egressWhy != nil
	switch {
	case s.egressFiltered() && found:
		return fmt.Errorf("%w: %w", ErrEgressFiltered, s.egressWhy)
	case s.egressFiltered():
		return fmt.Errorf("%w (this side: %s; the other: %s)", ErrEgressFiltered, s.own.behaviour, s.theirs.behaviour)
	case found, errors.Is(s.egressWhy, os.ErrDeadlineExceeded), errors.Is(s.egressWhy, gather.ErrUnconfirmed):
		return fmt.Errorf("%w; this host's network may let out some ports only: %w", err, s.egressWhy)
	default:
		return err
	}
}
