package punch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// connect connects a pair until the context ends, with one socket at a time, which is held until it
// fails by itself. A pending connect that is closed and opened again answers the peer's SYN+ACK
// with a RST: with NATs 100 ms apart that failed in every trial.
func (o *Opening) connect(p *pair) {
	p.begin = o.beginOf(p)
	for o.goesOn(p) && o.spend(p) {
		freed := p.claim.freed()
		c, took, err := o.dial(p)
		up := err == nil
		if up {
			err = o.serve(c, p.claim, took)
		}
		switch {
		case err == nil, o.ctx.Err() != nil:
			return
		case errors.Is(err, tcpport.ErrTupleTaken):
			// The listener has accepted the peer's SYN on this very 4-tuple and hands the
			// connection over, or another attempt connects it. Asking again sends nothing until
			// the connection is gone.
			accepted := !p.claim.shared() && p.claim.accepted()
			o.record(func(r *Result) {
				r.report(err)
				o.met = o.met || accepted
			})
			sleepUnless(o.ctx, freed, p.taken.pause())
			// This does not count as a failed connect. Otherwise attempts that take the 4-tuple
			// again and again would use up the quick repeats, and this one would wait for its
			// bursts.
			sleep(o.ctx, coarse(rand.N(quickPause)))
		case up:
			// The peer may not need it, or a RST crossed the SYN and it was up on this side only.
			// That is common, so the first repeat is quick, unless another attempt is to get the
			// 4-tuple, or another connect's connection is up, which the peer may have chosen.
			o.tuples.free(p.tuple())
			if p.dropped++; p.dropped > 1 || p.claim.shared() || o.serves() {
				sleep(o.ctx, p.useless.pause())
			} else {
				o.pause(p)
			}
		case errors.Is(err, tcpport.ErrShort):
			o.recordFailure(p, took, err)
			o.giveUp()
			return
		case errors.Is(err, tcpport.ErrUnsent):
			// Such as IPv6 where the host has none. It may have a route before the window ends.
			o.recordUnsent(p, err)
			sleep(o.ctx, p.unsent.pause())
		default:
			o.recordFailure(p, took, err)
			o.tuples.free(p.tuple())
			o.pause(p)
		}
	}
}

// dial connects a pair once. It returns the time that the connect took.
func (o *Opening) dial(p *pair) (*net.TCPConn, time.Duration, error) {
	o.trace(Connecting, p.port.Number(), p.to.Addr, nil)
	begin := time.Now()
	c, err := p.port.Connect(o.ctx, p.to.Addr)
	took := time.Since(begin)
	if o.round.Budget != nil {
		o.round.Budget.Pended(p.to.Addr.Addr(), took)
	}
	p.paid = errors.Is(err, tcpport.ErrTupleTaken) || errors.Is(err, tcpport.ErrShort) || errors.Is(err, tcpport.ErrUnsent)
	if !p.paid {
		o.record(func(r *Result) { r.Connects++ })
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		<-o.ctx.Done() // the deadline is the context's, which may be a moment later
	}
	return c, took, err
}

// recordFailure records a connect that failed by itself, after the time that it took.
func (o *Opening) recordFailure(p *pair, took time.Duration, err error) {
	o.trace(ConnectFailed, p.port.Number(), p.to.Addr, err)
	refused := tcpport.IsRefused(err)
	o.record(func(r *Result) {
		r.report(err)
		if refused {
			r.Refused++
			if throughNAT(p.to) && !o.refused {
				o.refused, o.refusal = true, took
				close(o.refusing)
			}
		}
		if throughNAT(p.to) {
			if o.failed++; o.failed >= manyFailed {
				o.setFail.Do(func() { close(o.failing) })
			}
			if o.crossing && !time.Now().Before(o.crossedAt) {
				p.failed++
				o.checkSpoiled()
			}
		}
	})
}

// recordUnsent records that no SYN of a pair could leave.
func (o *Opening) recordUnsent(p *pair, err error) {
	o.trace(ConnectFailed, p.port.Number(), p.to.Addr, err)
	o.record(func(r *Result) {
		r.report(err)
		if p.stuck {
			return
		}
		p.stuck = true
		if o.unsent++; o.unsent == o.launched {
			o.setFail.Do(func() { close(o.failing) })
		}
	})
}

// spend waits until the next connect of a pair is within the budget, if it is at all.
func (o *Opening) spend(p *pair) bool {
	if p.paid || o.round.Budget == nil {
		return o.ctx.Err() == nil
	}
	err := o.round.Budget.Spend(o.ctx, p.to.Addr.Addr())
	if err != nil && o.ctx.Err() == nil {
		o.record(func(r *Result) { r.report(err) })
	}
	return err == nil
}

// serve gives the attempt a connection that a connect brought up in a given time. It returns nil if
// the connection was chosen, errAttributed if it is another attempt's, and otherwise why it is of
// no use.
func (o *Opening) serve(c *net.TCPConn, k *claim, took time.Duration) error {
	tcpport.DistrustRTT(c, o.roundTrip(took))
	o.record(func(r *Result) { r.Up++ })
	err := o.attribute(c, k, took)
	if err == nil {
		o.record(func(*Result) { o.met = true; o.served++ })
		err = o.round.Serve(c)
		o.record(func(*Result) { o.served-- })
	}
	if err == nil || errors.Is(err, ErrNotChosen) {
		o.stop()
	}
	if err != nil && err != errAttributed {
		k.doubt()
		o.record(func(r *Result) { r.drop(err) })
	}
	return err
}

// serves reports whether a connection that a connect brought up may be chosen.
func (o *Opening) serves() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.served > 0
}

// roundTrip returns a connection's round trip D, as far as the time that its connect took reveals
// it. An initiator's takes D. The SYN of a responder's first port leaves up to R/2 too early, where
// R is the round trip over the relay: R/2 if it begins at once, and R/6 where both NATs drop early
// SYNs. If the NAT drops it for that, the initiator's comes in up to R/2 + D/2 later, and the
// acknowledgement D after that. That is some 2 D, since R is hardly ever less than D. If the SYNs
// cross, it takes D. Three quarters are not far from either.
func (o *Opening) roundTrip(took time.Duration) time.Duration {
	if o.round.Initiator {
		return took
	}
	return took * 3 / 4
}

// sleep waits, or until ctx has ended. It reports whether ctx has not.
func sleep(ctx context.Context, d time.Duration) bool { return sleepUnless(ctx, nil, d) }

// sleepUnless is sleep that ends early when a channel is closed.
func sleepUnless(ctx context.Context, early <-chan struct{}, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-early:
		return true
	case <-ctx.Done():
		return false
	}
}
