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

// Limits bound what peers can have a host do. A peer's candidates are not verified, and no peer may
// use the host to scan or to flood. Zero values mean the defaults; a [Rate] is zero if both its
// fields are.
//
// A connect counts as one SYN, and as one more for each second for which it stays unanswered: the
// kernel repeats the SYN that often at most. The repetitions cannot be held back. They are counted
// afterwards, as a debt that is paid before the next connect.
//
// An attempt that brings a connection proves that the peer has that address. So the OFFER and the
// SYNs to that address are given back: peers that become direct are not limited.
//
// The SYNs of port guessing do not count; see [Config.PortGuessing] for what bounds them.
type Limits struct {
	// PeerSYNs bounds the SYNs to the candidates of one peer. Default: 256, and 16 a second.
	// Between NATs that answer with a RST, on a short path, a punch sends 60 SYNs in quick
	// succession from each of two ports, and as many to the crossed candidate pairs. The burst is
	// enough for both. A candidate that does not answer costs one SYN a second.
	PeerSYNs Rate

	// AddrSYNs bounds the SYNs to one IPv4 address or one IPv6 /64, which one customer has,
	// whichever peers named it. Default: 512, and 32 a second. That is twice a peer's, since many
	// peers may be behind the same carrier's NAT; most punches take some four SYNs.
	AddrSYNs Rate

	// HostSYNs bounds the SYNs to the candidates of all peers together. Default: 1024, and 128 a
	// second: 250 punches at once, and 30 in each second after that. A host needs more if thousands
	// of peers come back at once, as after the restart of a relay.
	HostSYNs Rate

	// PeerOffers bounds a peer's OFFERs of which no connection came. Default: 32, and one a second.
	// An attempt needs one OFFER, and a failed attempt is repeated after half a minute.
	PeerOffers Rate

	// PeerAttempts and HostAttempts bound the attempts under way, of one peer and in all.
	// Defaults: 16 and 4096. One per peer is usual.
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

// Check returns all that is wrong with l, or nil. Nothing may be negative. A rate that is set needs
// a burst of at least one, and more than nothing a second.
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

// guessPause is between two attempts that guess ports: a peer chooses whom the SYNs go to.
const guessPause = time.Minute

// A limiter holds a host to its [Limits].
type limiter struct {
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
}

func newLimiter(l Limits) *limiter {
	l = l.withDefaults()
	return &limiter{
		limits: l,
		host:   l.HostSYNs.limiter(),
		peers:  newBuckets[string](l.PeerSYNs),
		addrs:  newBuckets[netip.Prefix](l.AddrSYNs),
		offers: newBuckets[string](l.PeerOffers),
		of:     make(map[string]int),
	}
}

// begin admits an attempt with a peer, or returns an error that matches [ErrBusy]. budget.end gives
// its place back.
func (l *limiter) begin(peer string) (*budget, error) {
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
	return &budget{limiter: l, peer: peer, sent: make(map[netip.Prefix]int)}, nil
}

// offered counts a peer's OFFER, and returns an error that matches [ErrBusy] if it is one too many.
func (l *limiter) offered(peer string) error {
	if l.offers.get(peer).Allow() {
		return nil
	}
	return fmt.Errorf("%w: too many in a short time", ErrBusy)
}

// beginGuess admits an attempt that guesses ports, one at a time for a host and guessPause after
// the one before, or returns an error that matches [ErrBusy]. end gives the place back.
func (l *limiter) beginGuess() (end func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.guessing:
		return nil, fmt.Errorf("%w: ports of another peer are being guessed", ErrBusy)
	case time.Since(l.guessed) < guessPause:
		return nil, fmt.Errorf("%w: ports were guessed less than %v ago", ErrBusy, guessPause)
	}
	l.guessing = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.guessing, l.guessed = false, time.Now()
	}, nil
}

// A budget is one attempt's share of a limiter. It is a [punch.Budget].
type budget struct {
	limiter *limiter
	peer    string

	mu   sync.Mutex
	sent map[netip.Prefix]int // SYNs, by the customer whose address it is; the zero Prefix is a server of ours
	held time.Duration        // the longest that one SYN was held back
	by   string               // the limit that did so
}

// heldBack is how long a limit may hold back a SYN without being blamed for a failure: after that
// the two sides' SYNs do not meet any more. A punch between NATs that answer with RST waits a tenth
// of that for its own next SYN.
const heldBack = time.Second

// Spend waits until a SYN may be sent to an address; an invalid one means a server of ours, which
// no peer chose. It fails if ctx ends before that, and with an error that matches [ErrBusy] if its
// deadline is known to be earlier.
func (b *budget) Spend(ctx context.Context, to netip.Addr) error {
	for _, l := range b.limiters(to) {
		begin := time.Now()
		err := l.Wait(ctx)
		if err != nil && ctx.Err() == nil {
			deadline, _ := ctx.Deadline()
			b.hold(l.name, time.Until(deadline))
			return fmt.Errorf("%w: no SYN to spare for %s (%s)", ErrBusy, to, l.name)
		}
		b.hold(l.name, time.Since(begin))
		if err != nil {
			return err
		}
	}
	b.count(to, 1)
	return nil
}

// hold records for how long a limit has held back a SYN.
func (b *budget) hold(limit string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d > b.held {
		b.held, b.by = d, limit
	}
}

// blame returns a failure as that of a limit, if one has held back a SYN for too long.
func (b *budget) blame(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held < heldBack {
		return err
	}
	return fmt.Errorf("%w: %s of the limits held a SYN back for %v: %w", ErrBusy, b.by, b.held.Round(time.Millisecond), err)
}

func (b *budget) count(to netip.Addr, syns int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[ipaddr.Customer(to)] += syns
}

// Pended counts the SYNs that the kernel has repeated while a connect that Spend admitted was
// pending for d.
func (b *budget) Pended(to netip.Addr, d time.Duration) {
	repeated := int(d / time.Second)
	for range repeated {
		for _, l := range b.limiters(to) {
			l.Reserve()
		}
	}
	b.count(to, repeated)
}

// repay gives back what an attempt cost that brought a connection to an address: the OFFER, if it
// was the peer's, and the SYNs to that address. Those to other addresses stay counted.
func (b *budget) repay(to netip.Addr, offered bool) {
	now := time.Now()
	if offered {
		b.limiter.offers.get(b.peer).ReserveN(now, -1)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range []netip.Addr{to, {}} {
		for _, l := range b.limiters(a) {
			l.ReserveN(now, -b.sent[ipaddr.Customer(a)]) // a negative reservation returns tokens
		}
		delete(b.sent, ipaddr.Customer(a))
	}
}

// A synLimit is one of the Limits on SYNs.
type synLimit struct {
	name string
	*rate.Limiter
}

// limiters returns those that a SYN has to pass.
func (b *budget) limiters(to netip.Addr) []synLimit {
	peer, host := synLimit{"PeerSYNs", b.limiter.peers.get(b.peer)}, synLimit{"HostSYNs", b.limiter.host}
	if !to.IsValid() {
		return []synLimit{peer, host}
	}
	return []synLimit{peer, {"AddrSYNs", b.limiter.addrs.get(ipaddr.Customer(to))}, host}
}

// end gives the attempt's place back. It must be called once.
func (b *budget) end() {
	l := b.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts--
	if l.of[b.peer]--; l.of[b.peer] == 0 {
		delete(l.of, b.peer)
	}
}

// A Rate is how often something may be done: Burst times at once, and PerSecond times a
// second after that, both more than 0.
type Rate struct {
	Burst     int
	PerSecond float64
}

func (r Rate) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }

// isWhole reports whether a limiter is as good as a new one.
func isWhole(l *rate.Limiter) bool { return l.Tokens() >= float64(l.Burst()) }

// buckets has a limiter for each key, and forgets those that are whole again: strangers choose the
// keys. The limits that come first bound how many there are.
type buckets[K comparable] struct {
	rate Rate

	mu    sync.Mutex
	of    map[K]*rate.Limiter
	sweep int // how many there are when it is worth looking for whole ones
}

// minSweep is how many limiters are kept without a look; each takes some 100 bytes.
const minSweep = 64

func newBuckets[K comparable](r Rate) *buckets[K] {
	return &buckets[K]{rate: r, of: make(map[K]*rate.Limiter), sweep: minSweep}
}

func (b *buckets[K]) get(key K) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.of[key]; l != nil {
		return l
	}
	if len(b.of) >= b.sweep {
		for k, l := range b.of {
			if isWhole(l) {
				delete(b.of, k)
			}
		}
		b.sweep = max(2*len(b.of), minSweep) // so that a new key costs little on average
	}
	l := b.rate.limiter()
	b.of[key] = l
	return l
}
