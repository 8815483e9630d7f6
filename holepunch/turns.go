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

	// maxStrangers bounds the connections with ends that are no candidate: those on which nobody has
	// said a word, and again the others. Beyond that the oldest gives way. Nobody
	// knows which is the peer's, but the peer speaks, or answers, within a round trip or two, and has done
	// its handshake in two more: to be in its way, a stranger has to make 64 connections in that time, all the time,
	// from the peer's address.
	maxStrangers = 64

	// maxFailures is how many connections to candidates may fail their handshake
	// before the punch is given up: the peer is there, and will not have it. It
	// has to say so: a connection that comes up on one side only, as a RST crosses it, is no
	// failure, nor is one that made room for strangers'.
	maxFailures = 8

	// maxQueue bounds the candidates' connections that wait for their handshake. A peer has one or
	// two for each pair of ports.
	maxQueue = 64
)

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
	if c.Candidate && p.stagger == 0 { // the first; a stranger's says nothing of the way to the peer
		p.stagger = min(max(time.Since(p.begin)*5/4, minStagger), maxStagger)
	}
	p.queue = append(p.queue, c)
	if !c.Candidate {
		p.strangers = append(p.strangers, c)
	}
	p.makeRoom()
}

// makeRoom has the oldest connections make way for the newest. Those that say nothing never make
// one go that does.
func (p *punch[C]) makeRoom() {
	p.thin(p.queue, maxQueue, func(c *Conn) bool { return c.Candidate })
	p.thin(p.strangers, maxStrangers, func(c *Conn) bool { return !c.heard.Load() })
	p.thin(p.strangers, maxStrangers, func(c *Conn) bool { return c.heard.Load() })
}

// thin gives up the oldest connections of a kind that are too many.
func (p *punch[C]) thin(conns []*Conn, most int, are func(*Conn) bool) {
	var crowd []*Conn
	for _, c := range conns {
		if are(c) {
			crowd = append(crowd, c)
		}
	}
	for _, c := range crowd[:max(0, len(crowd)-most)] {
		p.drop(c)
	}
}

// drop gives up a connection that waits, or ends its handshake.
func (p *punch[C]) drop(c *Conn) {
	if end := p.shaking[c]; end != nil {
		p.noStranger(c) // no more
		end(errCrowded)
		return
	}
	p.queue = without(p.queue, c)
	p.giveUp(c, errCrowded)
}

func (p *punch[C]) noStranger(c *Conn) { p.strangers = without(p.strangers, c) }

func without(conns []*Conn, c *Conn) []*Conn {
	return slices.DeleteFunc(conns, func(o *Conn) bool { return o == c })
}

// turns starts the handshakes whose turn it is. When a responder has a secured
// connection, the initiator has its own, be it the same or one whose handshake is under way
// here: no other is of use to it.
func (p *punch[C]) turns(ctx context.Context) {
	if p.won {
		return
	}
	for i := 0; i < len(p.queue); {
		if p.hasTurn() {
			p.shakeOn(ctx, i)
		} else {
			i++
		}
	}
}

// hasTurn: a responder serves whoever shakes hands. An initiator spares both sides
// needless handshakes: while it tries a candidate's connection the others wait, for a time
// in which the peer should have answered. Strangers never make it wait.
func (p *punch[C]) hasTurn() bool {
	if !p.initiator || !p.patient {
		return true
	}
	for c := range p.shaking {
		if c.Candidate {
			return false
		}
	}
	return true
}

func (p *punch[C]) shakeOn(ctx context.Context, i int) {
	c := p.queue[i]
	p.queue = append(p.queue[:i], p.queue[i+1:]...)
	ctx, end := context.WithCancelCause(ctx)
	p.shaking[c] = end
	if c.Candidate {
		p.patient = true
		p.nextTurn.Reset(p.stagger)
	}
	p.workers.Go(func() {
		defer end(nil)
		timed, cancel := context.WithTimeout(ctx, p.shakeTimeout())
		defer cancel()
		value, err := p.shake(timed, c)
		if err != nil && context.Cause(ctx) == errCrowded {
			err = errCrowded
		}
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
	p.noStranger(r.conn)
	p.asking = slices.DeleteFunc(p.asking, func(q choice) bool { return q.conn == r.conn })
	if r.err != nil {
		if r.conn.Candidate && r.conn.heard.Load() {
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
	r.conn.again = nil // the connection outlives the punch
	p.deliver(r.value)
	if !p.won {
		p.won = true
		p.stopConnect()
		p.leaveSilent()
	}
}

// leaveSilent gives up the strangers' connections on which nobody has spoken: the initiator has chosen none
// of those.
func (p *punch[C]) leaveSilent() {
	for _, c := range slices.Clone(p.strangers) {
		if !c.heard.Load() {
			p.drop(c)
		}
	}
}

// ask takes the question whether a connection is to be chosen. Only the peer's comes that far.
func (p *punch[C]) ask(q choice) {
	p.noStranger(q.conn)
	p.asking = append(p.asking, q)
	p.choose()
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
	p.noStranger(c)
	if c.Candidate {
		p.lastShake = err
	}
	tcpport.Reset(c.TCPConn)
	if c.again != nil && !p.over {
		p.workers.Go(c.again)
	}
}
