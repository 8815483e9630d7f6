package holepunch

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A Guess is one side's part in guessing ports: where one NAT gives every
// destination another port, at random, and the other lets in only ports that were
// sent to. The side with the random ports makes many mappings, the other one
// tries many ports; a hit is a simultaneous open like any other.
//
// With m mappings and n tries among the 64512 ports from 1024 up, the odds of a
// hit are 1 - (1 - m/64512)^n. Here m is 128, and n up to 2000 in the usual window of
// 10 s: 98 %, half of them within 1.8 s.
type Guess uint8

const (
	// NoGuess is the usual case.
	NoGuess Guess = iota
	// GuessPorts tries ports at the peer's address.
	GuessPorts
	// OfferPorts makes mappings for the peer to hit.
	OfferPorts
)

const (
	// guessRate is in SYNs a second. A home's router has room for some thousands
	// of connections, and drops a burst of them.
	guessRate = 200

	// guessHold is how long a try's socket is held: for the SYN+ACK of one that
	// hit, which takes a round trip, and for one lost SYN.
	guessHold = 1200 * time.Millisecond

	// offeredPorts is the number of mappings. Each takes a listener and a connect:
	// 256 sockets in all. A port's SYN is sent again every second.
	offeredPorts = 128
)

// guess does the punch's part in guessing, beside its ordinary connects.
func (p *punch[C]) guess(ctx context.Context) {
	remote := p.reflexive4()
	if !remote.IsValid() {
		return
	}
	switch p.Guess {
	case GuessPorts:
		p.guessPorts(ctx, remote.Addr())
	case OfferPorts:
		p.offerPorts(ctx, remote)
	}
}

// reflexive4 is the peer's first candidate in IPv4, or invalid.
func (p *punch[C]) reflexive4() netip.AddrPort {
	for _, c := range p.Remote {
		if c.Addr.Addr().Is4() && throughNAT(c) {
			return c.Addr
		}
	}
	return netip.AddrPort{}
}

func (p *punch[C]) guessPorts(ctx context.Context, at netip.Addr) {
	pace := rate.NewLimiter(guessRate, 1)
	for _, n := range rand.Perm(1<<16 - minPort) {
		if pace.Wait(ctx) != nil {
			return
		}
		remote := netip.AddrPortFrom(at, uint16(minPort+n))
		p.workers.Go(func() {
			hold, cancel := context.WithTimeout(ctx, guessHold)
			defer cancel()
			p.attempts.Add(1)
			if c, err := p.Locals[0].Port.Connect(hold, remote); err == nil {
				p.bring(ctx, newConn(c, false))
			}
		})
	}
}

func (p *punch[C]) offerPorts(ctx context.Context, remote netip.AddrPort) {
	pace := rate.NewLimiter(guessRate, 1)
	for range offeredPorts {
		if pace.Wait(ctx) != nil {
			return
		}
		port, err := tcpport.OpenIPv4()
		if err != nil {
			p.lastErr.Store(&err) // out of file descriptors: fewer will do
			return
		}
		p.workers.Go(func() { p.offerPort(ctx, port, remote) })
	}
}

// offerPort holds a mapping open towards the peer, and takes what comes through.
func (p *punch[C]) offerPort(ctx context.Context, port *tcpport.Port, remote netip.AddrPort) {
	defer port.Close()
	expect := port.Expect()
	defer expect.Close()
	expect.From([]netip.AddrPort{remote})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.workers.Go(func() {
		for {
			p.attempts.Add(1)
			if c, err := port.Connect(ctx, remote); err == nil {
				p.bring(ctx, newConn(c, false))
				return
			}
			if !sleep(ctx, time.Second) {
				return
			}
		}
	})
	for {
		select {
		case c, ok := <-expect.Conns():
			if !ok {
				return
			}
			p.bring(ctx, newConn(c, true))
		case <-ctx.Done():
			return
		}
	}
}

// bring hands a connection to the loop, or resets it if the punch is over.
func (p *punch[C]) bring(ctx context.Context, c *Conn) bool {
	select {
	case p.up <- c:
		return true
	case <-ctx.Done():
		tcpport.Reset(c.TCPConn)
		return false
	}
}
