package punch

import (
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A pair is one of our ports and a candidate that it connects to. After its first connect it is
// its goroutine's.
type pair struct {
	port    *tcpport.Port
	to      Candidate
	wait    time.Duration // before the first connect
	claim   *claim
	begin   time.Time // from when pauses count: beginOf, or when repeats were made quick again
	repeats int       // since then; in a round AtCross all but a burst count as made
	early   int       // repeats before then
	dropped int       // connections that were of no use
	paid    bool      // the last connect has sent no SYN, and was paid for
	stuck   bool      // a SYN could not leave
	taken   backoff   // while the 4-tuple is another connection's
	useless backoff   // while connections are of no use
	unsent  backoff   // while no SYN can leave

	crossed bool // begun by Cross, or later; o.mu guards it
	failed  int  // connects through NATs that ended by themselves since the moment of Cross; o.mu guards it
}

func (p *pair) tuple() tuple { return tuple{p.port.Number(), p.to.Addr} }

// addPairs pairs candidates with our ports, and begins to connect them: our first port with the
// peer's first one, and the second with the second. The pairs that are crossed wait for
// [Opening.Cross]: while a pair may yet come up they are not connected, since of two connections
// from one port, the end of the one can be the end of the other, where a NAT forgets a port with a
// RST. With Round.AtCross no pair is crossed, and all wait for Cross. o.mu is held.
func (o *Opening) addPairs(cs []Candidate) {
	var now []*pair
	for _, c := range cs {
		for i, port := range o.round.Ports {
			// What is predicted, and the address within a network, are of the peer's first port.
			if c.Kind == Listener || i > 0 && c.Kind != Reflexive {
				continue
			}
			p := &pair{
				port: port, to: c, wait: o.wait(i, c), crossed: o.crossing,
				taken:   backoff{o.times.retry, o.times.maxRetry},
				useless: backoff{o.times.retry, o.times.maxRetry},
				unsent:  backoff{o.times.retry, o.times.maxRetry},
			}
			if o.round.AtCross {
				p.repeats = quickRepeats - burst // what is left is one burst
			}
			switch {
			case o.pairs[p.tuple()]:
				continue
			case o.round.AtCross && i != c.Port:
				continue
			case o.crossing || i == c.Port && !o.round.AtCross:
				now = append(now, p)
			default:
				o.crossed = append(o.crossed, p)
			}
			o.pairs[p.tuple()] = true
		}
	}
	o.launch(now)
}

// wait returns how long our i-th port does not connect to a candidate yet. What is known of our NAT
// is about IPv4; a firewall in IPv6 lets in what was sent to. Pairs that begin with Cross have
// their moment from that. o.mu is held.
func (o *Opening) wait(i int, to Candidate) time.Duration {
	v6, delay := to.Addr.Addr().Unmap().Is6(), o.round.Delay
	if v6 {
		delay = o.round.DelayV6
	}
	var d time.Duration
	if i == to.Port && !o.round.AtCross && !o.crossing {
		d = delay[i]
	}
	switch {
	case !throughNAT(to):
		return 0
	case v6:
		return d
	case o.round.Passive:
		return max(d, o.times.passive)
	case o.round.Late && i == 0:
		return d + o.times.lateFirst
	case o.round.Late:
		return max(d, o.times.lateSecond)
	default:
		return d
	}
}

// throughNAT reports whether SYNs have to cross NATs to get to a candidate.
func throughNAT(c Candidate) bool { return c.Kind != LAN }

// launch begins to connect pairs, one after another. o.mu is held.
func (o *Opening) launch(pairs []*pair) {
	o.launched += len(pairs)
	for _, p := range pairs {
		p.claim = o.tuples.claim(p.tuple())
		if throughNAT(p.to) && p.to.Addr.Addr().Unmap().Is4() {
			o.through[p] = true
		}
	}
	o.workers.Go(func() {
		for i, p := range pairs {
			if i > 0 {
				sleep(o.ctx, o.times.launchPause)
			}
			o.workers.Go(func() {
				defer p.claim.release()
				if p.wait == 0 || sleep(o.ctx, p.wait) {
					o.connect(p)
				}
			})
		}
	})
}

// A backoff is a pause that doubles.
type backoff struct{ next, most time.Duration }

func (b *backoff) pause() time.Duration {
	d := b.next
	b.next = min(2*d, b.most)
	return d
}
