package holepunch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// Limits bound what peers can have a host do, for a peer's candidates are a stranger's word:
// nobody may use the host to scan, or to flood. Zero values mean the defaults, a zero [Rate] as a whole.
//
// A SYN is a connect, and each second for which it stays unanswered: that often the
// kernel repeats it at the most. What was not foreseen is a debt, which has to be paid before the next connect.
type Limits struct {
	// PeerSYNs are those that the candidates of one peer draw. Default: 256, and 16 a
	// second. Between NATs that answer with a RST, with a short path, a punch sends 60 SYNs
	// a second from each of two ports while it is quick, which is 3 s; the burst is
	// enough for the first two, and silent candidates draw one a second each.
	PeerSYNs Rate

	// AddrSYNs are those to one IPv4 address, or one IPv6 /64, which is as good as one:
	// whoever asks for them. Default: 512, and 32 a second; twice a peer's, for many
	// peers are behind the same carrier's NAT, and most punches take some four.
	AddrSYNs Rate

	// HostSYNs are those of all peers together. Default: 1024, and 128 a second. That is
	// 250 punches at once, and 30 in each second after that. Who needs more, as a host does that
	// thousands come back to when a relay does, sets more.
	HostSYNs Rate

	// PeerOffers are a peer's OFFERs and REQUESTs. Default: 32, and one a second. One attempt
	// needs one, and a failed one is repeated after half a minute.
	PeerOffers Rate

	// PeerAttempts and HostAttempts are how many attempts may be under way, of one peer
	// and in all. Defaults: 16 and 4096. One per peer is usual; a REQUEST counts as one, and so
	// does the attempt that it asks for.
	PeerAttempts, HostAttempts int
}

// withDefaults returns l without zero values.
func (l Limits) withDefaults() Limits {
	l.PeerSYNs = cmp.Or(l.PeerSYNs, Rate{256, 16})
	l.AddrSYNs = cmp.Or(l.AddrSYNs, Rate{512, 32})
	l.HostSYNs = cmp.Or(l.HostSYNs, Rate{1024, 128})
	l.PeerOffers = cmp.Or(l.PeerOffers, Rate{32, 1})
	l.PeerAttempts = cmp.Or(l.PeerAttempts, 16)
	l.HostAttempts = cmp.Or(l.HostAttempts, 4096)
	return l
}

// Check returns all that is wrong with l, or nil: nothing may be negative, and a rate that is set needs a
// burst of one at least, and more than nothing a second, for what is used up has to come back.
func (l Limits) Check() error {
	l = l.withDefaults()
	rate := func(name string, r Rate) error {
		if r.Burst < 1 || !(r.PerSecond > 0) {
			return fmt.Errorf("%s is %d at once and %v a second: want 1 at least, and more than 0", name, r.Burst, r.PerSecond)
		}
		return nil
	}
	number := func(name string, n int) error {
		if n < 0 {
			return fmt.Errorf("%s is %d: want 1 at least, or 0 for the default", name, n)
		}
		return nil
	}
	return errors.Join(
		rate("PeerSYNs", l.PeerSYNs), rate("AddrSYNs", l.AddrSYNs), rate("HostSYNs", l.HostSYNs), rate("PeerOffers", l.PeerOffers),
		number("PeerAttempts", l.PeerAttempts), number("HostAttempts", l.HostAttempts),
	)
}

// A Limiter holds a host to its [Limits]. A nil Limiter bounds nothing.
type Limiter struct {
	// GuessPause is between two attempts that guess ports, a minute by default: whom
	// the SYNs go to is the peer's choice. It is not to be changed in use.
	GuessPause time.Duration

	limits Limits
	host   *rate.Limiter
	peers  *buckets[string]
	addrs  *buckets[netip.Prefix]
	offers *buckets[string]

	mu       sync.Mutex
	guessing bool // there is one attempt that guesses ports
	guessed  time.Time
	attempts int
	of       map[string]int // attempts of a peer
	aside    map[string]int // of these, from ports of their own
}

// maxAside is how many of a peer's attempts may have a port of their own at a time; see [Budget.Aside]. A
// peer has one attempt, or two where one has just lost its relayed connection.
const maxAside = 2

// NewLimiter returns a Limiter for one host.
func NewLimiter(l Limits) *Limiter {
	l = l.withDefaults()
	return &Limiter{
		GuessPause: time.Minute,
		limits:     l,
		host:       l.HostSYNs.limiter(),
		peers:      newBuckets[string](l.PeerSYNs),
		addrs:      newBuckets[netip.Prefix](l.AddrSYNs),
		offers:     newBuckets[string](l.PeerOffers),
		of:         make(map[string]int),
		aside:      make(map[string]int),
	}
}

// Begin admits an attempt with a peer, or returns an error that matches
// [ErrBusy]. End gives its place back.
func (l *Limiter) Begin(peer string) (*Budget, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.attempts >= l.limits.HostAttempts:
		return nil, fmt.Errorf("%w: %d of this host", ErrBusy, l.attempts)
	case l.of[peer] >= l.limits.PeerAttempts:
		return nil, fmt.Errorf("%w: %d of this peer", ErrBusy, l.of[peer])
	}
	l.attempts++
	l.of[peer]++
	return &Budget{limiter: l, peer: peer, syns: l.peers.get(peer)}, nil
}

// Offered counts a peer's OFFER or REQUEST, and returns an error that matches [ErrBusy] if
// it is one too many.
func (l *Limiter) Offered(peer string) error {
	if l == nil || l.offers.get(peer).Allow() {
		return nil
	}
	return fmt.Errorf("%w: too many in a short time", ErrBusy)
}

// BeginGuess admits an attempt that guesses ports, one at a time for a host and
// GuessPause after the one before, or returns an error that matches [ErrBusy]. The function returned
// gives the place back.
func (l *Limiter) BeginGuess() (end func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.guessing:
		return nil, fmt.Errorf("%w: ports of another peer are being guessed", ErrBusy)
	case time.Since(l.guessed) < l.GuessPause:
		return nil, fmt.Errorf("%w: ports were guessed less than %v ago", ErrBusy, l.GuessPause)
	}
	l.guessing = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.guessing, l.guessed = false, time.Now()
	}, nil
}

// A Budget is one attempt's share of a [Limiter]. A nil one bounds nothing.
type Budget struct {
	limiter *Limiter
	peer    string
	syns    *rate.Limiter
	aside   bool
}

// Aside admits the attempt to a port of its own, once, or returns an error that matches [ErrBusy]. Each
// takes sockets, and questions to servers.
func (b *Budget) Aside() error {
	if b == nil {
		return nil
	}
	l := b.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aside[b.peer] >= maxAside {
		return fmt.Errorf("%w: %d of this peer from ports of their own", ErrBusy, maxAside)
	}
	l.aside[b.peer]++
	b.aside = true
	return nil
}

// Spend waits until a SYN may be sent to an address; that of a server of ours, whom no peer
// chose, is left out. It fails if ctx ends before that, and with an error that matches [ErrBusy] if its
// deadline is known to be earlier.
func (b *Budget) Spend(ctx context.Context, to netip.Addr) error {
	for _, l := range b.limiters(to) {
		if err := l.Wait(ctx); err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("%w: no SYN to spare for %s", ErrBusy, to)
			}
			return err
		}
	}
	return nil
}

// Pended says that the connect that a SYN was spent for has been pending for some
// time, in which the kernel has repeated the SYN.
func (b *Budget) Pended(to netip.Addr, d time.Duration) {
	for range int(d / time.Second) {
		for _, l := range b.limiters(to) {
			l.Reserve()
		}
	}
}

// limiters are those that a SYN has to pass.
func (b *Budget) limiters(to netip.Addr) []*rate.Limiter {
	if b == nil {
		return nil
	}
	if !to.IsValid() {
		return []*rate.Limiter{b.syns, b.limiter.host}
	}
	return []*rate.Limiter{b.syns, b.limiter.addrs.get(ipaddr.Customer(to)), b.limiter.host}
}

// End gives the attempt's place back. It must be called once.
func (b *Budget) End() {
	if b == nil {
		return
	}
	l := b.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts--
	if l.of[b.peer]--; l.of[b.peer] == 0 {
		delete(l.of, b.peer)
	}
	if !b.aside {
		return
	}
	if l.aside[b.peer]--; l.aside[b.peer] == 0 {
		delete(l.aside, b.peer)
	}
}
