package holepunch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// quickJitter is the most that passes, at random, between a connect that
	// failed and the next. Two peers behind NATs that answer an unsolicited
	// SYN with RST refuse each other until both have a SYN on the way at once,
	// a window of about one RTT. With both repeating in the same rhythm they
	// can miss it for long; at random, 14 of 14 punches with skews of 50 to
	// 350 ms met, in a median of 0.33 s; after a fixed 100 ms, 4 of 14.
	quickJitter = 25 * time.Millisecond

	// firstJitter is the same after the first connect. A responder starts half a
	// relayed round trip before the initiator, and is refused; there is no
	// rhythm yet to break, and its second SYN is on the way sooner.
	firstJitter = 5 * time.Millisecond

	// quickPhase is how long repeats are quick. Peers start within a relayed
	// RTT of each other, so that who has not met by then is lossy or late,
	// and with ten times the jitter SYNs are saved.
	quickPhase = 3 * time.Second
	slowJitter = 250 * time.Millisecond

	// launchPause is between the first connects to two candidates. A NAT with
	// sequential ports gives them theirs in the order in which the SYNs
	// leave, and the peer counts on the order in which it named its candidates.
	// It is time for a system call, and little in a burst of eight.
	launchPause = time.Millisecond

	// takenRetry is when a 4-tuple that belongs to another connection is first
	// tried again. Each further time takes twice as long: where handshakes are slow, a
	// thousand punches would keep a processor busy with asking.
	takenRetry = 100 * time.Millisecond

	// passiveWait is how long a passive side waits before it connects all the
	// same, in case that what is known of its NAT is out of date. A SYN that is lost twice
	// is there by then.
	passiveWait = 4 * time.Second
)

// A route is one of our ports, and a candidate that it connects to.
type route struct {
	from     *tcpport.Port
	to       Candidate
	begin    time.Time // of quickPhase
	connects int       // so far
	paid     bool      // the last one sent no SYN, and has paid for the next
	taken    time.Duration
}

// launch begins to connect to candidates, one after another.
func (p *punch[C]) launch(ctx context.Context, cs []Candidate) {
	var routes []*route
	for _, c := range cs {
		for _, l := range p.connecting(c) {
			routes = append(routes, &route{from: l.Port, to: c, taken: takenRetry})
		}
	}
	p.workers.Go(func() {
		for i, r := range routes {
			if i > 0 && !sleep(ctx, launchPause) {
				return
			}
			p.workers.Go(func() {
				if p.Passive && throughNAT(r.to) && !sleep(ctx, passiveWait) {
					return
				}
				if r.begin = time.Now(); !throughNAT(r.to) {
					r.begin = r.begin.Add(-quickPhase)
				}
				p.connect(ctx, r)
			})
		}
	})
}

// connecting are our ports that connect to a candidate. The ports of both sides are
// paired in their order, and the last of the side that has fewer with all that are left.
func (p *punch[C]) connecting(to Candidate) []Local {
	if to.Kind != pb.Candidate_REFLEXIVE {
		return p.Locals[:1]
	}
	last := 0 // of theirs
	for _, c := range p.Remote {
		last = max(last, c.Local)
	}
	var ls []Local
	for i, l := range p.Locals {
		if min(i, last) == min(to.Local, len(p.Locals)-1) {
			ls = append(ls, l)
		}
	}
	return ls
}

// connect gets one route's connection up, with one socket at a time,
// held until it fails by itself or the punch ends. A pending connect that is
// closed and opened anew answers the peer's SYN+ACK with a RST; with NATs 100 ms
// apart that failed in every trial.
func (p *punch[C]) connect(ctx context.Context, r *route) {
	for ; r.paid || p.Budget.Spend(ctx) == nil; r.connects++ {
		p.trace(Event{Kind: Connecting, Local: r.from.Number(), Remote: r.to.Addr})
		p.attempts.Add(1)
		c, err := r.from.Connect(ctx, r.to.Addr)
		pause := r.jitter()
		r.paid = errors.Is(err, tcpport.ErrTupleTaken)
		switch {
		case err == nil:
			r.connects++
			conn := newConn(c, false)
			conn.again = func() {
				if sleep(ctx, pause) {
					p.connect(ctx, r)
				}
			}
			p.bring(ctx, conn)
			return
		case ctx.Err() != nil:
			return
		case r.paid:
			// The listener accepted the peer's SYN on this very 4-tuple, and
			// hands the connection over. Nothing is sent by asking again,
			// until that connection is gone.
			pause = r.taken
			r.taken *= 2
			p.attempts.Add(-1)
			p.lastErr.CompareAndSwap(nil, &tcpport.ErrTupleTaken)
		default:
			p.trace(Event{Kind: ConnectFailed, Local: r.from.Number(), Remote: r.to.Addr, Err: err})
			if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
				p.lastErr.Store(&err) // more telling than silence, or the end of ctx
			}
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// throughNAT tells whether SYNs have to cross NATs to get to a candidate. Of the others, those
// that listen have no use for quick repetition.
func throughNAT(c Candidate) bool {
	return c.Kind != pb.Candidate_LISTENER && c.Kind != pb.Candidate_LAN
}

// jitter is the pause after the latest connect.
func (r *route) jitter() time.Duration {
	quick := time.Since(r.begin) < quickPhase
	switch {
	case quick && r.connects == 0:
		return rand.N(firstJitter)
	case quick:
		return rand.N(quickJitter)
	default:
		return rand.N(slowJitter)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
