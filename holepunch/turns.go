package holepunch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// An initiator gives a handshake as long as it took to get a connection, and a quarter of that, before
	// it begins another one beside it: these are bounds of that time. A connection takes a round trip
	// at least, and the answer to the first message another. Where that is lost, TCP repeats
	// it after 200 ms and more, and the other connection need not wait so long.
	minStagger = 50 * time.Millisecond
	maxStagger = 500 * time.Millisecond

	// shakeTimeout is how long a handshake may take. A NAT may drop the mapping of a
	// connection that is just up, when a late RST passes it: both ends have the
	// connection, and neither hears of the other. Then another is made within
	// the window. A handshake takes two or three round trips, or a second more for
	// each packet that is lost. A responder gives it twice that: the initiator begins when it
	// will, and is the one to choose.
	shakeTimeout = 5 * time.Second
)

// elsewhereWait is how long nothing is chosen that comes from another port of the peer's address than one that
// is known to be the peer's. It may be the peer itself, in an attempt with somebody else who has named our
// address as its own: it has the right key then, and will not have ours. In that time a candidate's connection is there, also
// if a SYN was lost.
const elsewhereWait = 1500 * time.Millisecond

// errCrowded: a connection has made way for others.
var errCrowded = errors.New("too many connections wait")

// enqueue takes a connection that is up.
func (p *punch[C]) enqueue(c *Conn) {
	kind := Connected
	if c.Accepted {
		kind = Accepted
	}
	c.Candidate = slices.ContainsFunc(p.Remote, func(r Candidate) bool {
		return r.Addr == c.Remote() && r.Kind != pb.Candidate_PREDICTED
	})
	p.trace(Event{Kind: kind, Local: c.local(), Remote: c.Remote()})
	if p.initiator {
		c.choices = p.choices
	}
	if p.Exact && !c.Candidate {
		c.patience = elsewhereWait - time.Since(p.begin)
	}
	if c.Candidate && p.stagger == 0 { // the first; a stranger's says nothing of the way to the peer
		p.stagger = min(max(time.Since(p.begin)*5/4, minStagger), maxStagger)
	}
	for _, crowded := range p.add(c) {
		p.drop(crowded)
	}
}

// drop gives up a connection that waits, or ends its handshake.
func (p *punch[C]) drop(c *Conn) {
	p.leave(c)
	if c.end != nil {
		c.end(errCrowded)
		return
	}
	p.giveUp(c, errCrowded)
}

// shakeOn begins a handshake.
func (p *punch[C]) shakeOn(ctx context.Context, c *Conn) {
	if c.Candidate {
		p.nextTurn.Reset(p.stagger)
	}
	ctx, c.end = context.WithCancelCause(ctx)
	p.workers.Go(func() {
		defer c.end(nil)
		timed, cancel := context.WithTimeout(ctx, p.shakeTimeout())
		defer cancel()
		value, err := p.shake(timed, c)
		if err != nil && context.Cause(ctx) == errCrowded {
			err = errCrowded
		}
		p.shakes <- result[C]{c, value, err}
	})
}

func (p *punch[C]) shakeTimeout() time.Duration {
	if p.initiator {
		return shakeTimeout
	}
	return 2 * shakeTimeout
}

// finish takes what a handshake came to.
func (p *punch[C]) finish(r result[C]) {
	wanted, chosen := p.shaken(r.conn, r.err == nil, r.conn.heard.Load())
	switch {
	case r.err != nil:
		p.giveUp(r.conn, r.err)
	case !wanted:
		r.value.Close()
	default:
		p.trace(Event{Kind: Secured, Local: r.conn.local(), Remote: r.conn.Remote()})
		r.conn.again = nil // the connection outlives the punch
		p.deliver(r.value)
		p.stopConnect()
		for _, c := range p.silent() {
			p.drop(c)
		}
	}
	grant(chosen)
}

// grant tells a connection that it is chosen, if there is one.
func grant(c *Conn) {
	if c != nil {
		close(c.granted)
	}
}

func (p *punch[C]) giveUp(c *Conn, err error) {
	p.trace(Event{Kind: Unsecured, Local: c.local(), Remote: c.Remote(), Err: err})
	if c.Candidate {
		p.lastShake = err
	}
	tcpport.Reset(c.TCPConn)
	if c.again != nil && !p.over {
		p.workers.Go(c.again)
	}
}
