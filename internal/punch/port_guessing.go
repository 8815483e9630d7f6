package punch

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A Guess is one side's part in guessing ports: where one NAT gives every destination another
// port, at random, and the other lets in only ports that were sent to. The side with the random
// ports makes many mappings, the other one tries many ports; a hit is a simultaneous open like any
// other.
//
// With m mappings and n tries among the 64512 ports from 1024 up, the odds of a hit are
// 1 - (1 - m/64512)^n. Here m is 128, and n up to 2000 in the usual window of 10 s: 98 %, half of
// them within 1.8 s.
type Guess uint8

const (
	NoGuess    Guess = iota // the usual case
	GuessPorts              // tries ports at the peer's address
	OfferPorts              // makes mappings for the peer to hit
)

const (
	// guessHold is how long a try's socket is held: for the SYN+ACK of one that hit, which takes a
	// round trip, and for one lost SYN.
	guessHold = 1200 * time.Millisecond

	// offeredPorts is the number of mappings. Each takes a listener and a connect: 256 sockets in
	// all. A port's SYN is sent again every second.
	offeredPorts  = 128
	offerInterval = time.Second
)

// guess does the round's part in guessing, beside its pairs.
func (o *Opening) guess() {
	remote := o.firstIPv4()
	if !remote.IsValid() {
		return
	}
	switch o.round.Guess {
	case GuessPorts:
		o.workers.Go(func() { o.guessPorts(remote.Addr()) })
	case OfferPorts:
		o.workers.Go(func() { o.offerPorts(remote) })
	}
}

// firstIPv4 returns the peer's first IPv4 candidate outside its network, or an invalid one.
func (o *Opening) firstIPv4() netip.AddrPort {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.remote {
		if c.Addr.Addr().Is4() && throughNAT(c) {
			return c.Addr
		}
	}
	return netip.AddrPort{}
}

func (o *Opening) guessPorts(at netip.Addr) {
	port := o.round.Ports[0]
	pace := rate.NewLimiter(o.times.guessRate, 1)
	for _, n := range rand.Perm(1<<16 - ipaddr.MinPort) {
		if pace.Wait(o.ctx) != nil {
			return
		}
		remote := netip.AddrPortFrom(at, uint16(ipaddr.MinPort+n))
		if o.isPair(tuple{port.Number(), remote}) {
			continue // it has its own connect
		}
		o.workers.Go(func() {
			hold, cancel := context.WithTimeout(o.ctx, guessHold)
			defer cancel()
			o.connectOnce(hold, port, remote)
		})
	}
}

func (o *Opening) isPair(k tuple) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pairs[k]
}

func (o *Opening) offerPorts(remote netip.AddrPort) {
	var accept func(*net.TCPConn)
	if o.round.Receiver != nil {
		accept = o.round.Receiver.Accept
	}
	pace := rate.NewLimiter(o.times.guessRate, 1)
	for range offeredPorts {
		if pace.Wait(o.ctx) != nil {
			return
		}
		port, err := tcpport.OpenIPv4(accept, o.round.Control)
		if err != nil {
			o.record(func(r *Result) { r.report(err) }) // out of file descriptors: fewer will do
			return
		}
		o.workers.Go(func() {
			defer port.Close()
			for {
				o.connectOnce(o.ctx, port, remote)
				if !sleep(o.ctx, offerInterval) {
					return
				}
			}
		})
	}
}

// connectOnce connects from a port that is no part of a pair, or to one.
func (o *Opening) connectOnce(ctx context.Context, port *tcpport.Port, remote netip.AddrPort) {
	k := o.tuples.claim(tuple{port.Number(), remote})
	defer k.release()
	o.record(func(r *Result) { r.Connects++ })
	begin := time.Now()
	if c, err := port.Connect(ctx, remote); err == nil {
		o.serve(c, k, time.Since(begin))
	}
}
