package holepunch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"syscall"
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

	// A late side begins when the peer's NAT should be open. An initiator's SYN, which opens that, leaves
	// half a relayed round trip after the responder's could, and one that comes before it is
	// lost, for a second. From the first port SYNs are in time if the relayed round
	// trip is up to 80 ms longer than the direct one, from the second if it is up to 320 ms.
	lateWait       = 40 * time.Millisecond
	lateWaitSecond = 160 * time.Millisecond

	// crossWait is how long the pairs of ports have for themselves, where nobody says it; see
	// [CrossWait].
	crossWait = 200 * time.Millisecond
	maxCross  = time.Second // by then TCP repeats the SYNs of the pairs

	// passiveWait is how long a passive side waits before it connects all the
	// same, in case that what is known of its NAT is out of date. A SYN that is lost twice
	// is there by then.
	passiveWait = 4 * time.Second
)

// CrossWait is how long an initiator gives the pairs of ports, by the round trip over the relay. Then each
// port connects to the peer's other one as well, for both pairs have lost a packet: 4 % have with 5 % of loss
// at each site, and repeat their SYNs after a second only. While a pair may yet come up it is not done: of two
// connections from one port, the end of the one can be the end of the other, where a NAT forgets a port
// with a RST. For the same reason, and since nothing is lost there, it is not done where SYNs are refused.
func CrossWait(relayedRTT time.Duration) time.Duration {
	return min(max(relayedRTT*3/2, crossWait), maxCross)
}

// A route is one of our ports, and a candidate that it connects to.
type route struct {
	from     *tcpport.Port
	to       Candidate
	wait     time.Duration // before the first connect
	quick    bool          // it has a quickPhase
	begin    time.Time     // of that
	connects int           // so far
	paid     bool          // the last one sent no SYN, and has paid for the next
	taken    time.Duration
}

// launch begins to connect to candidates, one after another, from the ports that are paired with them. From
// the others it does so only if there is no connection in time; see [CrossWait].
func (p *punch[C]) launch(ctx context.Context, cs []Candidate) {
	var paired, crossed []*route
	for _, c := range cs {
		for i, l := range p.Locals {
			r := &route{from: l.Port, to: c, taken: takenRetry, wait: p.wait(i, c)}
			switch {
			case i > 0 && c.Kind != pb.Candidate_REFLEXIVE:
			case p.paired(i, c.Local):
				r.quick = throughNAT(c)
				paired = append(paired, r)
			default:
				crossed = append(crossed, r)
			}
		}
	}
	p.workers.Go(func() { p.start(ctx, paired) })
	if len(crossed) > 0 {
		p.crossed = append(p.crossed, crossed...)
		if p.Cross == nil {
			p.crossTurn.Reset(crossWait)
		}
	}
}

// cross begins with the crossed pairs, unless there is a connection, or no need.
func (p *punch[C]) cross(ctx context.Context) {
	crossed := p.crossed
	p.crossed = nil
	if p.stagger == 0 && !p.refused.Load() {
		p.workers.Go(func() { p.start(ctx, crossed) })
	}
}

func (p *punch[C]) start(ctx context.Context, routes []*route) {
	for i, r := range routes {
		if i > 0 && !sleep(ctx, launchPause) {
			return
		}
		p.workers.Go(func() {
			if r.wait > 0 && !sleep(ctx, r.wait) {
				return
			}
			r.begin = time.Now()
			p.connect(ctx, r)
		})
	}
}

// paired tells whether our i-th port and the peer's j-th are a pair: in their order, and the last of
// the side that has fewer with all that are left.
func (p *punch[C]) paired(i, j int) bool {
	last := 0 // of theirs
	for _, c := range p.Remote {
		last = max(last, c.Local)
	}
	return min(i, last) == min(j, len(p.Locals)-1)
}

// wait is how long our i-th port does not connect to a candidate yet. What is known of our NAT is of
// IPv4; a firewall in IPv6 lets in what was sent to.
func (p *punch[C]) wait(i int, to Candidate) time.Duration {
	switch {
	case !throughNAT(to), ipv6(to):
		return 0
	case p.Passive:
		return passiveWait
	case p.Late && i == 0:
		return lateWait
	case p.Late:
		return lateWaitSecond
	default:
		return 0
	}
}

// connect gets one route's connection up, with one socket at a time,
// held until it fails by itself or the punch ends. A pending connect that is
// closed and opened anew answers the peer's SYN+ACK with a RST; with NATs 100 ms
// apart that failed in every trial.
func (p *punch[C]) connect(ctx context.Context, r *route) {
	for ; p.pay(ctx, r); r.connects++ {
		p.trace(Event{Kind: Connecting, Local: r.from.Number(), Remote: r.to.Addr})
		p.attempts.Add(1)
		begin := time.Now()
		c, err := r.from.Connect(ctx, r.to.Addr)
		p.Budget.Pended(r.to.Addr.Addr(), time.Since(begin))
		pause := r.jitter()
		taken := errors.Is(err, tcpport.ErrTupleTaken)
		r.paid = taken || errors.Is(err, tcpport.ErrShort) // nothing was sent
		switch {
		case err == nil:
			r.connects++
			tcpport.DistrustRTT(c, p.roundTrip(time.Since(begin)))
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
		case taken:
			// The listener accepted the peer's SYN on this very 4-tuple, and
			// hands the connection over. Nothing is sent by asking again,
			// until that connection is gone.
			pause = r.taken
			r.taken *= 2
			p.attempts.Add(-1)
			p.lastErr.CompareAndSwap(nil, &tcpport.ErrTupleTaken)
		default:
			if throughNAT(r.to) && errors.Is(err, syscall.ECONNREFUSED) {
				p.refused.Store(true)
			}
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

// pay waits until the next connect of a route is within the budget, if it is at all.
func (p *punch[C]) pay(ctx context.Context, r *route) bool {
	if r.paid {
		return true
	}
	err := p.Budget.Spend(ctx, r.to.Addr.Addr())
	if err != nil && ctx.Err() == nil {
		p.lastErr.CompareAndSwap(nil, &err)
	}
	return err == nil
}

// roundTrip is a connection's, as far as it can be told from how long its connect took. An initiator's SYN
// is answered after one. A responder's leaves earlier, by half a relayed round trip, and
// if the NAT drops it for that, the initiator's comes in half of that and half a round trip
// later, and the acknowledgement after another: that is two or more.
func (p *punch[C]) roundTrip(took time.Duration) time.Duration {
	if p.initiator {
		return took
	}
	return took * 3 / 4
}

// throughNAT tells whether SYNs have to cross NATs to get to a candidate. Of the others, those
// that listen have no use for quick repetition.
func throughNAT(c Candidate) bool {
	return c.Kind != pb.Candidate_LISTENER && c.Kind != pb.Candidate_LAN
}

// jitter is the pause after the latest connect.
func (r *route) jitter() time.Duration {
	quick := r.quick && time.Since(r.begin) < quickPhase
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
