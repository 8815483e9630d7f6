package holepunch

import (
	"context"
	"errors"
	"slices"
	"time"

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
	}
	c.Candidate = slices.Contains(addrsOf(p.Remote), c.Remote())
	p.trace(Event{Kind: kind, Local: c.local(), Remote: c.Remote()})
	if p.initiator {
		c.choices = p.choices
	}
	if c.Candidate && p.stagger == 0 { // the first; a stranger's says nothing of the way to the peer
		p.stagger = min(max(time.Since(p.begin)*5/4, minStagger), maxStagger)
	}
	p.queue = append(p.queue, c)
	if len(p.queue) > maxQueue {
		p.makeRoom()
	}
}

// makeRoom gives up the stranger's connection that has waited longest, or else a candidate's.
func (p *punch[C]) makeRoom() {
	i := max(0, slices.IndexFunc(p.queue, func(c *Conn) bool { return !c.Candidate }))
	c := p.queue[i]
	p.queue = slices.Delete(p.queue, i, i+1)
	p.giveUp(c, errors.New("too many connections wait"))
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
			p.shakeOn(ctx, i)
		} else {
			i++
		}
	}
}

// hasTurn: a responder serves whoever shakes hands. An initiator spares both sides
// needless handshakes: while it tries a candidate's connection the others wait, for a time
// in which the peer should have answered. Strangers never make it wait.
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

func (p *punch[C]) shakeOn(ctx context.Context, i int) {
	c := p.queue[i]
	p.queue = append(p.queue[:i], p.queue[i+1:]...)
	p.shaking[c] = struct{}{}
	p.patient = true
	p.nextTurn.Reset(p.stagger)
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
	p.asking = slices.DeleteFunc(p.asking, func(q choice) bool { return q.conn == r.conn })
	if r.err != nil {
		if r.conn.Candidate {
			p.failures++
		}
		p.giveUp(r.conn, r.err)
		if r.conn == p.chosen {
			p.chosen = nil
			p.choose()
		}
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

// choose chooses the connection that has asked first, if none is chosen, and tells it as often as
// it has asked. When the punch is over, none of those left is to get any further.
func (p *punch[C]) choose() {
	if p.over {
		return
	}
	if p.chosen == nil && len(p.asking) > 0 {
		p.chosen = p.asking[0].conn
	}
	p.asking = slices.DeleteFunc(p.asking, func(q choice) bool {
		if q.conn == p.chosen {
			close(q.granted)
		}
		return q.conn == p.chosen
	})
}

func (p *punch[C]) giveUp(c *Conn, err error) {
	p.trace(Event{Kind: Unsecured, Local: c.local(), Remote: c.Remote(), Err: err})
	p.lastShake = err
	tcpport.Reset(c.TCPConn)
	if c.again != nil && !p.over {
		p.workers.Go(c.again)
	}
}
