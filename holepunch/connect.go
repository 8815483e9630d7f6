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

// launch begins to connect to candidates, one after another.
func (p *punch[C]) launch(ctx context.Context, cs []Candidate) {
	type pair struct {
		local Local
		to    Candidate
	}
	var pairs []pair
	for _, c := range cs {
		for _, l := range p.connecting(c) {
			pairs = append(pairs, pair{l, c})
		}
	}
	p.workers.Go(func() {
		for i, pair := range pairs {
			if i > 0 && !sleep(ctx, launchPause) {
				return
			}
			p.workers.Go(func() { p.connect(ctx, pair.local.Port, pair.to) })
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

// accept hands a port's accepted connections to the loop.
func (p *punch[C]) accept(ctx context.Context, l Local) {
	for {
		select {
		case c, ok := <-l.Expect.Conns():
			if !ok { // the port was closed
				return
			}
			if !p.bring(ctx, newConn(c, true)) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// connect keeps one candidate's connection from one port coming up: one socket at a time,
// held until it fails by itself or the punch ends. A pending connect that is
// closed and opened anew answers the peer's SYN+ACK with a RST; with NATs 100 ms
// apart that failed in every trial.
func (p *punch[C]) connect(ctx context.Context, port *tcpport.Port, to Candidate) {
	remote := to.Addr
	if p.Passive && throughNAT(to) && !sleep(ctx, passiveWait) {
		return
	}
	begin := time.Now()
	if !throughNAT(to) {
		begin = begin.Add(-quickPhase)
	}
	paid := false // a connect that sent no SYN has paid for the next
	taken := takenRetry
	for n := 0; paid || p.Budget.Spend(ctx) == nil; n++ {
		p.trace(Event{Kind: Connecting, Local: port.Number(), Remote: remote})
		p.attempts.Add(1)
		c, err := port.Connect(ctx, remote)
		pause := jitter(n, begin)
		paid = errors.Is(err, tcpport.ErrTupleTaken)
		switch {
		case err == nil:
			conn := newConn(c, false)
			if !p.bring(ctx, conn) {
				return
			}
			select {
			case <-conn.failed:
			case <-ctx.Done():
				return
			}
		case ctx.Err() != nil:
			return
		case paid:
			// The listener accepted the peer's SYN on this very 4-tuple, and
			// hands the connection over. Nothing is sent by asking again,
			// until that connection is gone.
			pause = taken
			taken *= 2
			p.attempts.Add(-1)
			p.lastErr.CompareAndSwap(nil, &tcpport.ErrTupleTaken)
		default:
			p.trace(Event{Kind: ConnectFailed, Local: port.Number(), Remote: remote, Err: err})
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

// jitter is the pause after the n-th connect, counted from 0.
func jitter(n int, begin time.Time) time.Duration {
	quick := time.Since(begin) < quickPhase
	switch {
	case quick && n == 0:
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
