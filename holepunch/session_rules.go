package holepunch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
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
		// In every other round, in case that the initiator's NAT must see its host's SYN first.
		late:    !s.initiator && (noInbound(s.own.behaviour) || s.round%2 == 1 && !atCross),
		atCross: atCross,
		guess:   s.guess,
		window:  window,
	}
	if atCross && s.initiator {
		spec.window = max(s.until.Sub(s.now), minRound)
	}
	if s.theirs.following {
		spec.remote = slices.DeleteFunc(spec.remote, isPlaceholder)
	}
	if s.initiator && s.predicted() || s.egressFiltered() {
		spec.window = predictedWindow
	}
	return spec
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

// roundError returns why a round has brought no connection.
func roundError(r punch.Result) error {
	told := r.Err
	if op := (*net.OpError)(nil); errors.As(told, &op) {
		told = op.Err // the addresses are in the PunchError
	}
	switch {
	case r.Dropped != nil:
		return uselessError(r.Dropped)
	case errors.Is(r.Err, ErrBusy) && r.Connects == 0: // a window may end with no SYN left, too
		return r.Err
	case errors.Is(r.Err, tcpport.ErrShort):
		return fmt.Errorf("%w: %w", ErrNoSocket, told)
	case r.Err != nil:
		return fmt.Errorf("%w: %w", ErrNoConnection, told)
	default:
		return fmt.Errorf("%w: no answer to our SYNs", ErrNoConnection)
	}
}

// useless has the likely causes of a connection that came up and was of no use, and what to do.
var useless = []struct {
	err    error
	advice string
}{
	{punch.ErrHungUp, "a proxy or a firewall accepts connections in the peer's place and closes them: take another network, or have it leave ports from 1024 up alone"},
	{punch.ErrPreamble, "something else answers in the peer's place, such as a captive portal or a proxy: log in to the network, or take another one"},
	{punch.ErrSilent, "a proxy or a firewall accepts connections in the peer's place and says nothing, or a NAT has forgotten them: try again, or take another network"},
}

// uselessError returns the error of a round whose connections were of no use, by why one of them
// was dropped.
func uselessError(dropped error) error {
	if errors.Is(dropped, punch.ErrSmallPackets) {
		return ErrSmallPackets
	}
	for _, u := range useless {
		if errors.Is(dropped, u.err) {
			return fmt.Errorf("%w: %w: %s", ErrHandshake, dropped, u.advice)
		}
	}
	return fmt.Errorf("%w: %w", ErrHandshake, dropped)
}

// explain adds what is known of the two sides to a failure.
func (s *session) explain(err error) error {
	var remote *RemoteError
	if errors.As(err, &remote) && remote.Status == StatusImpossible {
		if reason := incompatible(s.own.behaviour, remote.Behaviour); reason != nil {
			return reason
		}
		if reason := impossible(s.own, s.theirs); reason != nil {
			return reason
		}
		if remote.Behaviour.Egress == stun.No {
			s.theirs.behaviour = remote.Behaviour
		}
	}
	if errors.Is(err, ErrNoConnection) && !s.doneHeard && s.sameSite() && s.own.behaviour.Hairpin != stun.Yes {
		return fmt.Errorf("%w: %w", ErrNoHairpin, err)
	}
	if ReasonOf(err) == ErrNoConnection {
		return s.explainEgress(err)
	}
	return err
}
