package holepunch

import (
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// admit sets which of the peer's candidates the round connects to, or returns why there is no way.
func (s *session) admit() error {
	remote, err := admissible(s.own.candidates, wholeBlock(s.theirs), s.do.links())
	if err != nil {
		return err
	}
	if remote, err = s.do.filterRemote(remote); err != nil {
		return err
	}
	theirs := s.theirs
	theirs.candidates = remote // no others are a way
	if err := impossible(s.own, theirs); err != nil {
		return err
	}
	// The responder's candidates within its site are here; the initiator's may come.
	if s.initiator && s.sameSite() && s.own.behaviour.Hairpin == stun.No && !slices.ContainsFunc(remote, needsNoHairpin) {
		return ErrNoHairpin
	}
	if s.round == 0 && s.guess == punch.NoGuess {
		if s.guess = guesses(s.own, theirs); s.guess != punch.NoGuess {
			err = s.do.beginGuess()
		}
	}
	s.remote = remote
	return err
}

// roundSpec returns this side's part in the round.
func (s *session) roundSpec() roundSpec {
	atCross := s.atCross()
	spec := roundSpec{
		number:  s.round,
		remote:  slices.DeleteFunc(slices.Clone(s.remote), isListener),
		passive: passive(s.own.behaviour, s.theirs.behaviour, s.initiator),
		late:    !s.initiator && noInbound(s.own.behaviour) || s.letsInitiatorBegin(),
		delay:   s.portDelay(),
		delayV6: [punch.MaxPorts]time.Duration{1: s.answerWay},
		atCross: atCross,
		window:  s.window,
	}
	if s.round == 0 { // whatever a peer says: it chooses where the SYNs go
		spec.guess = s.guess
	}
	if atCross && s.initiator {
		spec.window = max(s.windowEnd.Sub(s.now), minRound)
	}
	if s.theirs.following {
		spec.remote = slices.DeleteFunc(spec.remote, isPlaceholder)
	}
	if s.initiator && s.predicted() || s.egressFiltered() {
		spec.window = min(spec.window, predictedWindow)
	}
	return spec
}

// maxAnswerWay bounds what a responder believes of the time that its ANSWER takes, for which its
// ports wait: longer ways than over two satellites are rare, and the peer may lie.
const maxAnswerWay = 500 * time.Millisecond

// portDelay returns how long each port waits in a round, in IPv4. A responder's second port waits
// for the initiator, which begins when it has read the ANSWER. Where both NATs drop a SYN that
// comes too early, the two ports begin before and after that moment. The first one's SYN arrives
// just after the initiator's has left, if it takes a third of the ANSWER's time or more. If a hop
// has to repeat the ANSWER, the second one's is still in time, if it takes half of the ANSWER's
// time or more.
//
// A predicted port has no other beside it, so the first one waits as well where a SYN that comes
// too early may spoil the pair: if the initiator's NAT answers it, and where the initiator is to
// begin. An initiator whose predicted candidates follow has begun when they arrive.
func (s *session) portDelay() (d [punch.MaxPorts]time.Duration) {
	meet := s.round%2 == 0 && answersSYN(s.theirs.behaviour)
	d[1] = s.answerWay
	switch {
	case dropsEarlySYN(s.own.behaviour) && dropsEarlySYN(s.theirs.behaviour):
		d[0], d[1] = s.answerWay*2/3, min(s.answerWay*3/2, maxAnswerWay)
	case s.predicted() && !s.theirs.following && (meet || s.letsInitiatorBegin()):
		d[0] = s.answerWay
	}
	return d
}

// dropsEarlySYN reports whether a NAT drops a peer's SYN that comes before its host has sent one,
// without an answer, and lets in those that come later, at the port that observers saw.
func dropsEarlySYN(b stun.Behaviour) bool {
	filters := b.Filtering == stun.ADF || b.Filtering == stun.APDF
	return filters && b.Mapping == stun.EIM && b.Unsolicited == stun.Drop && b.BareSYN != stun.No
}

// letsInitiatorBegin reports whether a responder begins later than the initiator, in case the
// initiator's NAT must see its host's SYN first: in every other round with a predicted port, unless
// the responder's own NAT may be of that kind. The responder then begins at once in such a round.
func (s *session) letsInitiatorBegin() bool {
	return !s.initiator && s.predicted() && s.round%2 == 1 && !answersSYN(s.own.behaviour)
}

// answersSYN reports whether a NAT answers an unsolicited SYN, and may then keep a session with
// where it came from.
func answersSYN(b stun.Behaviour) bool {
	return b.Unsolicited == stun.RST || b.Unsolicited == stun.ICMP
}

// atCross reports whether both sides begin the round at the moment of CROSS: a further one, where
// no port has to be predicted. The pairs of the one before were spoiled.
func (s *session) atCross() bool { return s.round > 0 && !s.predicted() }

// predicted reports whether a side has named predicted ports.
func (s *session) predicted() bool {
	return gather.PredictsPort(s.own.behaviour) || gather.PredictsPort(s.theirs.behaviour)
}

func (s *session) sameSite() bool { return sameSite(s.own.candidates, s.theirs.candidates) }

// room returns as many of the candidates as a description has room for.
func room(d description, cs []punch.Candidate) []punch.Candidate {
	return cs[:min(max(punch.MaxCandidates-len(d.candidates), 0), len(cs))]
}

// maxListeners is how many of a peer's listeners the application gets: one for each family.
const maxListeners = 2

func listenersOf(cs []punch.Candidate) []netip.AddrPort {
	var as []netip.AddrPort
	for _, c := range cs {
		if isListener(c) && len(as) < maxListeners {
			as = append(as, c.Addr)
		}
	}
	return as
}

// isPlaceholder reports whether a candidate of a peer whose predicted ones follow says no more than
// where the peer is.
func isPlaceholder(c punch.Candidate) bool { return c.Kind == punch.Reflexive && !isIPv6(c) }

func isNotPredicted(c punch.Candidate) bool { return !isPredicted(c) }

func needsNoHairpin(c punch.Candidate) bool { return c.Kind == punch.LAN || isListener(c) || isIPv6(c) }
