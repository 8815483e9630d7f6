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
	"github.com/libp2p/go-libp2p/core/peer"

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
	t      *Transport
	h      host.Host
	peer   peer.ID
	dir    network.Direction
	budget *holepunch.Budget
	signal *holepunch.Signal
	news   <-chan holepunch.News // what the peer says; closed when it has ended

	// Of the round.
	round  int
	own    *stance
	theirs holepunch.Terms
	remote []holepunch.Candidate // theirs that may be dialled, see admit

	endGuess func() // gives the host's place for guessing ports back; nil without
}

// release gives back what the attempt holds.
func (a *attempt) release() {
	a.own.release()
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

// admit takes the peer's terms for the round, and finds out whom to connect to.
func (a *attempt) admit(theirs holepunch.Terms) error {
	a.theirs = theirs
	own := a.own.terms
	if holepunch.Guesses(own, theirs) != holepunch.NoGuess && a.endGuess == nil {
		var err error
		if a.endGuess, err = a.t.limiter.BeginGuess(); err != nil {
			return err
		}
	}
	if err := holepunch.Impossible(own, theirs); err != nil {
		return err
	}
	remote, err := holepunch.Admissible(own.Candidates, theirs.Candidates, links())
	if err != nil {
		return err
	}
	if a.remote, err = a.t.ungated(a.peer, remote); err != nil {
		return err
	}
	a.expect()
	return nil
}

func (a *attempt) expect() {
	addrs := make([]netip.AddrPort, len(a.remote))
	for i, c := range a.remote {
		addrs[i] = c.Addr
	}
	a.own.expect.From(addrs)
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
func (a *attempt) punch(trace func(Event)) holepunch.Punch {
	p := holepunch.Punch{
		Port:   a.own.port,
		Expect: a.own.expect,
		Remote: a.remote,
		Guess:  holepunch.Guesses(a.own.terms, a.theirs),
		Budget: a.budget,
		Trace:  punchTrace(trace),
	}
	if a.dir == network.DirInbound {
		// A host's listener would take us for the client of the security
		// handshake, which the responder is not: see dialBack.
		p.Remote = slices.DeleteFunc(slices.Clone(a.remote), isListener)
	}
	return p
}

func (a *attempt) tracer() func(Event) { return a.t.tracer(a.peer, a.dir, a.own.port.Number()) }

// finish tells the tracer how a round, or the attempt before its first, has ended.
func (a *attempt) finish(err error) error {
	a.tracer()(Event{Kind: Finished, Err: err})
	return err
}

// withoutHairpin tells that the peers are behind a NAT by which they cannot reach
// each other, and that they have no other addresses.
func (a *attempt) withoutHairpin() bool {
	return a.sameSite() && a.own.terms.Behaviour.Hairpin == stun.No && !slices.ContainsFunc(a.remote, func(c holepunch.Candidate) bool {
		return c.Kind == pb.Candidate_LAN || isListener(c) || isIPv6(c)
	})
}

// explain adds what is known of the two sides to a failure.
func (a *attempt) explain(err error) error {
	if errors.Is(err, holepunch.ErrNoConnection) && a.sameSite() && a.own.terms.Behaviour.Hairpin != stun.Yes {
		return fmt.Errorf("%w: %w", holepunch.ErrNoHairpin, err)
	}
	return err
}

func isListener(c holepunch.Candidate) bool { return c.Kind == pb.Candidate_LISTENER }
func isIPv6(c holepunch.Candidate) bool     { return c.Addr.Addr().Is6() }
