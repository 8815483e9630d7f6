package holepunch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func (at *attempt) gather(fresh bool) {
	o := gather.Options{
		Fresh:     fresh,
		Filter:    at.opts.FilterOwn,
		Listeners: at.opts.Listeners,
		Spend:     func(ctx context.Context) error { return at.budget.Spend(ctx, netip.Addr{}) },
	}
	at.helpers.Go(func() {
		d, err := at.agent.gather(at.ctx, o)
		taken := at.post(func() {
			if err != nil {
				at.session.onGathered(description{}, 0, gatherReason(err))
				return
			}
			if at.described == nil {
				at.described = d
			}
			at.description, at.hostLinks, at.doubt = d, d.Links, d.Doubt
			own := description{candidates: d.Candidates, behaviour: d.Behaviour, following: d.Following, preserved: d.Preserved}
			at.session.onGathered(own, d.Ports[0].Number(), nil)
		})
		if !taken && err == nil {
			at.agent.release(d)
		}
	})
}

// gatherReason returns a failure to gather with its reason.
func gatherReason(err error) error {
	switch {
	case ReasonOf(err) != "":
		return err
	case errors.Is(err, tcpport.ErrShort):
		return fmt.Errorf("%w: %w", ErrNoSocket, err)
	case errors.Is(err, gather.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	default:
		return fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
}

func (at *attempt) predict() {
	d := at.description
	at.helpers.Go(func() {
		predicted, err := at.agent.predict(d, at.ctx)
		at.post(func() {
			if err != nil {
				at.session.onPredicted(nil, gatherReason(err))
				return
			}
			at.description = predicted
			at.session.onPredicted(predicted.Candidates, nil)
		})
	})
}

func (at *attempt) expect(own punch.Token) {
	stop := at.agent.expect(own, func(c *net.TCPConn) { at.stream.Serve(c, true) })
	at.atEnd = append(at.atEnd, stop)
}

func (at *attempt) connectWith(peer punch.Token) { at.stream.SetPeerToken(peer) }

func (at *attempt) connected() (up, chosen bool) { return at.stream.Connected() }

func (at *attempt) startRound(spec roundSpec) {
	ctx, cancel := context.WithTimeout(at.ctx, spec.window)
	d := at.description
	ports := d.Ports
	if n := at.opts.MaxSegment; n > 0 {
		ports = slices.Clone(ports)
		for i, p := range ports {
			ports[i] = p.WithMaxSegment(n)
		}
	}
	o := at.agent.open(ctx, punch.Round{
		Ports:     ports,
		Remote:    spec.remote,
		Initiator: at.session.initiator,
		Passive:   spec.passive,
		Late:      spec.late,
		Delay:     spec.delay,
		DelayV6:   spec.delayV6,
		AtCross:   spec.atCross,
		Guess:     spec.guess,
		Receiver:  at.agent.receiver,
		Serve:     func(c *net.TCPConn) error { return at.stream.Serve(c, false) },
		Control:   at.agent.control,
		Budget:    at.budget,
		Trace:     stepTrace(at.opts.Trace),
	})
	at.description = nil // the round's from now on
	at.round = &round{number: spec.number, opening: o, cancel: cancel, description: d}
}

// A round is one that is under way.
type round struct {
	opening
	number      int
	spoiled     bool // the session has been told that it is
	refused     bool // the session has been told that a SYN was
	cancel      context.CancelFunc
	description *gather.Description
}

func (at *attempt) endRound() {
	r := at.round
	if r == nil {
		return
	}
	at.round = nil
	r.cancel()
	at.helpers.Go(func() {
		result := r.Wait()
		at.agent.release(r.description)
		at.connects.Add(int64(result.Connects))
		at.result.Store(&result)
		at.stream.Settle(at.ctx) // what the peer has connected may come up last
		at.post(func() { at.session.onRoundEnded(r.number, result) })
	})
}

func (at *attempt) stopConnects() {
	if at.round != nil {
		at.round.cancel()
	}
}

func (at *attempt) findEgress(peer []netip.AddrPort) {
	at.helpers.Go(func() {
		fact, err := at.agent.egress(at.ctx, peer)
		at.post(func() { at.session.onEgress(fact, err) })
	})
}

// noteEgress records that connections get out, if this one needed a SYN that did: the NAT is known
// to let in only endpoints that were sent to.
func (at *attempt) noteEgress() {
	c, own := at.stream.TCPConn(), at.session.own.behaviour
	if c == nil || own.Egress == stun.No || own.Filtering == stun.FilteringUnknown || own.Filtering == stun.EIF {
		return
	}
	local, remote := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	if remote.Addr().Is4() && ipaddr.IsPublic(remote.Addr()) {
		at.agent.gotOut(at.described, local.Addr().Unmap(), remote)
	}
}

func (at *attempt) addCandidates(cs []punch.Candidate) {
	if at.round != nil {
		at.round.Add(cs)
	}
}

func (at *attempt) quiet() time.Duration {
	if at.round == nil {
		return 0
	}
	return at.round.Quiet()
}

func (at *attempt) cross(quiet, later time.Duration) {
	if at.round != nil {
		at.round.Cross(quiet, later)
	}
}

// elsewhere has the application connect by its own means, which costs SYNs as any other connect to
// a peer's candidate does.
func (at *attempt) elsewhere(listeners []netip.AddrPort, punchable bool) {
	at.helpers.Go(func() {
		var err error
		for _, l := range listeners {
			err = errors.Join(err, at.budget.Spend(at.ctx, l.Addr()))
		}
		if err == nil {
			begun := time.Now()
			err = at.opts.Elsewhere(at.ctx, listeners, punchable)
			for _, l := range listeners {
				at.budget.Pended(l.Addr(), time.Since(begun))
			}
		}
		at.post(func() { at.session.onElsewhere(err) })
	})
}

func (at *attempt) trace(e Event) {
	if at.opts.Trace != nil {
		at.opts.Trace(e)
	}
}

// stepTrace returns a trace of a punch's steps that keeps nothing else of the attempt.
func stepTrace(trace func(Event)) punch.Trace {
	if trace == nil {
		return nil
	}
	return func(step punch.Step, local uint16, remote netip.AddrPort, err error) {
		trace(Event{Kind: EventKind(step), Local: local, Remote: remote, Err: err})
	}
}

func (at *attempt) admitPeer() error {
	if err := at.agent.limiter.offered(at.opts.Peer); err != nil {
		return err // before the user's own filter is bothered
	}
	return at.admit(at.opts.Refuse)
}

func (at *attempt) lanCandidates() []punch.Candidate {
	cs := at.agent.lanCandidates(at.session.port)
	if at.opts.FilterOwn == nil {
		return cs
	}
	return only(cs, at.opts.FilterOwn(addrsOf(cs)))
}

func (at *attempt) links() []netip.Prefix { return at.hostLinks }

func (at *attempt) filterRemote(cs []punch.Candidate) ([]punch.Candidate, error) {
	if at.opts.FilterRemote == nil {
		return cs, nil
	}
	left, err := at.opts.FilterRemote(addrsOf(cs))
	at.session.now = time.Now() // it may have taken a while
	if err == nil {
		cs = only(cs, left)
	}
	switch {
	case err != nil && ReasonOf(err) != "":
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoCandidate, err)
	case len(cs) == 0:
		return nil, fmt.Errorf("%w: the address filter leaves none", ErrNoCandidate)
	}
	return cs, nil
}

// only returns those candidates whose addresses are among those that are left.
func only(cs []punch.Candidate, left []netip.AddrPort) []punch.Candidate {
	return slices.DeleteFunc(slices.Clone(cs), func(c punch.Candidate) bool { return !slices.Contains(left, c.Addr) })
}

func (at *attempt) beginGuess() error {
	end, err := at.agent.limiter.beginGuess()
	if err == nil {
		at.atEnd = append(at.atEnd, end)
	}
	return err
}
