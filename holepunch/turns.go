package holepunch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// stagger is how long an initiator gives the connection that it chose
	// before it tries another one beside it: at least, and as long as it took to get one. Longer
	// than a handshake on a good path, so that the choice is nearly always the only one; and
	// where machine or path are slow, a second handshake would not make them faster.
	stagger = 500 * time.Millisecond

	// shakeTimeout is how long a handshake may take. A NAT may drop the mapping of a
	// connection that is just up, when a late RST passes it: both ends have the
	// connection, and neither hears of the other. Then another is made within
	// the window. A handshake takes two or three round trips, or a second more for
	// each packet that is lost. A responder gives it twice that: the initiator begins when it
	// will, and is the one to choose.
	shakeTimeout = 5 * time.Second

	// maxStrangers bounds the handshakes with ends that are no candidate.
	maxStrangers = 8

	// maxFailures is how many connections to candidates may fail their handshake
	// before the punch is given up: the peer is there, and will not have it. A
	// connection that comes up on one side only, as a RST crosses it, costs
	// one or two.
	maxFailures = 8

	// maxQueue bounds the connections that wait for their handshake: as many as
	// a port keeps for an attempt that does not know its peer's candidates yet.
	maxQueue = 64
)

// enqueue takes a connection that is up.
func (p *punch[C]) enqueue(c *Conn) {
	kind := Connected
	if c.Accepted {
		kind = Accepted
		c.Candidate = slices.Contains(addrsOf(p.Remote), c.Remote())
	}
	p.trace(Event{Kind: kind, Local: c.local(), Remote: c.Remote()})
	if len(p.queue) >= maxQueue {
		p.giveUp(c, errors.New("too many connections wait"))
		return
	}
	p.queue = append(p.queue, c)
}

// turns starts the handshakes whose turn it is. When a responder has a secured
// connection, the initiator has its own, be it the same or one whose handshake is under way
// here: no other is of use to it.
func (p *punch[C]) turns(ctx context.Context) {
	if p.won {
		return
	}
	for i := 0; i < len(p.queue); {
		if p.hasTurn(p.queue[i]) {
			p.start(ctx, i)
		} else {
			i++
		}
	}
}

// hasTurn: a responder serves whoever shakes hands. An initiator chooses, and
// while it tries a candidate's connection the others wait, lest two become
// secured and the peers disagree on which; for half a second, which is time for a
// handshake. Strangers never make it wait.
func (p *punch[C]) hasTurn(c *Conn) bool {
	candidates, strangers := 0, 0
	for s := range p.shaking {
		if s.Candidate {
			candidates++
		} else {
			strangers++
		}
	}
	if p.initiator && candidates > 0 && p.patient {
		return false
	}
	return c.Candidate || strangers < maxStrangers
}

func (p *punch[C]) start(ctx context.Context, i int) {
	c := p.queue[i]
	p.queue = append(p.queue[:i], p.queue[i+1:]...)
	p.shaking[c] = struct{}{}
	p.patient = true
	p.nextTurn.Reset(max(stagger, time.Since(p.begin)))
	p.workers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, p.shakeTimeout())
		defer cancel()
		value, err := p.shake(ctx, c)
		p.shaken <- result[C]{c, value, err}
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
	delete(p.shaking, r.conn)
	if r.err != nil {
		if r.conn.Candidate {
			p.failures++
		}
		p.giveUp(r.conn, r.err)
		return
	}
	if p.won && p.initiator {
		r.value.Close()
		return
	}
	p.trace(Event{Kind: Secured, Local: r.conn.local(), Remote: r.conn.Remote()})
	p.deliver(r.value)
	if !p.won {
		p.won = true
		p.stopConnect()
	}
}

func (p *punch[C]) giveUp(c *Conn, err error) {
	p.trace(Event{Kind: Unsecured, Local: c.local(), Remote: c.Remote(), Err: err})
	p.lastShake = err
	tcpport.Reset(c.TCPConn)
	if c.again != nil && !p.over {
		p.workers.Go(c.again)
	}
}
