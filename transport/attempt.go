package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// foretoldWindow is how long a round goes on in which a port was foretold. A port
// that was told right is met within a round trip or two, or after one lost SYN (1 s);
// one that was told wrong, never. A further round tells it anew.
const foretoldWindow = 1500 * time.Millisecond

// An attempt is one side's part in getting a direct connection to a peer. It is
// made in rounds: one nearly always, more where a port has to be foretold.
type attempt struct {
	*report
	h      host.Host
	port   *warmPort // that stances are taken from: the host's, or aside
	aside  *warmPort // of this attempt alone; nil unless there was need, see stepAside
	budget *holepunch.Budget
	signal *holepunch.Signal
	news   <-chan holepunch.News // what the peer says; closed when it has ended

	relayedRTT time.Duration // of an initiator, at most: as long as the ANSWER took

	// Of the round.
	round  int
	own    *stance
	theirs holepunch.Terms
	remote []holepunch.Candidate // theirs that may be dialled, see admit

	guess    holepunch.Guess // there are no other rounds then, unless the initiator steps aside
	endGuess func()          // gives the host's place for guessing ports back; nil without

	remoteAddr  ma.Multiaddr // of the connection, at the responder
	dialledBack bool         // the responder's swarm has dialled the initiator's listeners
}

// release gives back what the attempt holds.
func (a *attempt) release() {
	a.own.release()
	if a.aside != nil {
		a.aside.Close()
	}
	if a.endGuess != nil {
		a.endGuess()
	}
}

// hear takes the peer's messages from now on, until ctx ends or the stream does.
func (a *attempt) hear(ctx context.Context) (unhear func()) {
	ctx, cancel := context.WithCancel(ctx)
	news := make(chan holepunch.News)
	a.news = news
	go func() {
		defer close(news)
		for {
			n, err := a.signal.Next(ctx)
			if err != nil {
				return
			}
			select {
			case news <- n:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		for range news { // until it is closed
		}
	}
}

// admit takes the peer's terms for the round, and finds out whom to connect to. It
// expects these from then on. The error is a [*holepunch.PunchError], or errClaimed.
func (a *attempt) admit(theirs holepunch.Terms) error {
	a.theirs = theirs
	var err error
	if a.remote, err = a.admissible(); err != nil {
		return &holepunch.PunchError{
			Op:     "admit",
			Local:  a.own.port.Number(),
			Remote: addrsOf(theirs.Candidates),
			Err:    err,
		}
	}
	claimed := false
	for _, l := range a.own.locals {
		for _, taken := range l.Expect.From(addrsOf(a.remote)) {
			claimed = claimed || a.isClaimed(taken)
		}
	}
	if claimed && a.mayStepAside() {
		return errClaimed
	}
	return nil
}

// renew takes a fresh stance in place of the one that the attempt has.
func (a *attempt) renew(ctx context.Context) error {
	a.own.release()
	own, err := a.t.takeStance(ctx, a.h, a.peer, a.port)
	if err != nil {
		return err
	}
	a.own = own
	return nil
}

func (a *attempt) admissible() ([]holepunch.Candidate, error) {
	own, theirs := a.own.terms, a.theirs
	remote, err := holepunch.Admissible(own.Candidates, theirs.Candidates, links())
	if err != nil {
		return nil, err
	}
	if f := a.t.cfg.addrFilter; f != nil {
		remote = filtered(remote, func(as []ma.Multiaddr) []ma.Multiaddr { return f.FilterRemote(a.peer, as) })
		if len(remote) == 0 {
			return nil, fmt.Errorf("%w: the address filter (WithAddrFilter) leaves none", holepunch.ErrNoCandidate)
		}
	}
	theirs.Candidates = remote // no others are a way
	if err := holepunch.Impossible(own, theirs); err != nil {
		return nil, err
	}
	if remote, err = a.t.ungated(a.peer, a.dir, remote); err != nil {
		return nil, err
	}
	// The responder's candidates within its site are here; the initiator's may come.
	if a.dir == network.DirOutbound && a.sameSite() && own.Behaviour.Hairpin == stun.No && !slices.ContainsFunc(remote, needsNoHairpin) {
		return nil, holepunch.ErrNoHairpin
	}
	if a.round == 0 && a.endGuess == nil {
		if a.guess = holepunch.Guesses(own, theirs); a.guess != holepunch.NoGuess {
			a.endGuess, err = a.t.limiter.BeginGuess()
		}
	}
	return remote, err
}

func needsNoHairpin(c holepunch.Candidate) bool {
	return c.Kind == pb.Candidate_LAN || isListener(c) || isIPv6(c)
}

func addrsOf(cs []holepunch.Candidate) []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(cs))
	for i, c := range cs {
		addrs[i] = c.Addr
	}
	return addrs
}

// sameSite tells whether the peers seem to be in one place.
func (a *attempt) sameSite() bool {
	return holepunch.SameSite(a.own.terms.Candidates, a.theirs.Candidates)
}

// outcome is what the two NATs allow.
func (a *attempt) outcome() holepunch.Outcome {
	return holepunch.Predict(a.own.terms.Behaviour, a.theirs.Behaviour)
}

// punch is the round's, as holepunch wants it.
func (a *attempt) punch() holepunch.Punch {
	p := holepunch.Punch{
		Locals:  a.own.locals,
		Remote:  a.remote,
		Passive: holepunch.Passive(a.own.terms.Behaviour, a.theirs.Behaviour),
		Guess:   a.guess,
		Exact:   a.theirs.Behaviour.Mapping == stun.EIM,
		Budget:  a.budget,
		Trace:   punchTrace(a.trace),
	}
	p.Late = a.dir == network.DirInbound && holepunch.Lone(a.own.terms.Behaviour)
	if a.theirs.Following {
		p.Remote = slices.DeleteFunc(slices.Clone(p.Remote), informs)
	}
	if a.dir == network.DirInbound {
		// A host's listener would take us for the client of the security
		// handshake, which the responder is not: see dialBack.
		p.Remote = slices.DeleteFunc(slices.Clone(p.Remote), isListener)
	}
	return p
}

// offered and roundFailed trace the beginning of a round, and its end if there is another.
func (a *attempt) offered() {
	a.trace(Event{
		Kind:   Offered,
		Port:   a.own.port.Number(),
		Own:    toMultiaddrs(a.own.terms.Candidates),
		Theirs: toMultiaddrs(a.remote),
	})
}

func (a *attempt) roundFailed(err error) {
	a.trace(Event{Kind: RoundFailed, Port: a.own.port.Number(), Err: err})
}

// foretold tells whether a side has named ports that are foretold: then the round is a
// short one, and another may help. Otherwise it would but close what is coming up.
func (a *attempt) foretold() bool {
	return foretells(a.own.terms.Behaviour) || foretells(a.theirs.Behaviour)
}

// explain adds what is known of the two sides to a failure.
func (a *attempt) explain(err error) error {
	var remote *holepunch.RemoteError
	if errors.As(err, &remote) && remote.Status == pb.Status_IMPOSSIBLE {
		if reason := holepunch.Impossible(a.own.terms, a.theirs); reason != nil {
			return reason
		}
	}
	if errors.Is(err, holepunch.ErrNoConnection) && !errors.Is(err, errConnectedThere) && a.sameSite() && a.own.terms.Behaviour.Hairpin != stun.Yes {
		return fmt.Errorf("%w: %w", holepunch.ErrNoHairpin, err)
	}
	return err
}

// predicted are those of some candidates that are foretold.
func predicted(cs []holepunch.Candidate) []holepunch.Candidate {
	return slices.DeleteFunc(slices.Clone(cs), func(c holepunch.Candidate) bool { return !isPredicted(c) })
}

func isPredicted(c holepunch.Candidate) bool { return c.Kind == pb.Candidate_PREDICTED }
func isListener(c holepunch.Candidate) bool  { return c.Kind == pb.Candidate_LISTENER }
func isIPv6(c holepunch.Candidate) bool      { return c.Addr.Addr().Is6() }
