package holepunch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The SYNs that a peer's candidates can draw from a host, for nobody may use it
// to scan or to flood. A punch between RST NATs with a short path sends some
// 60 SYNs a second to a candidate while it is quick, which is 3 s; the burst is enough for
// that, and for the first two seconds of two pairs of ports. What follows is the sustained rate of one peer, and of all together.
const (
	peerBurst = 256
	peerRate  = 32 // SYNs a second
	hostBurst = 4096
	hostRate  = 1024 // SYNs a second

	// How many attempts may be under way: of one peer, and in all. One per
	// peer is usual. A REQUEST counts as one, and so does the attempt that it
	// asks for.
	maxPeerAttempts = 16
	maxHostAttempts = 4096
)

// A Limiter bounds the attempts of a host and the SYNs that they send, by peer
// and in all. A nil Limiter bounds nothing.
type Limiter struct {
	// GuessPause is between two attempts that guess ports, a minute by default: whom
	// the SYNs go to is the peer's choice. It is not to be changed in use.
	GuessPause time.Duration

	host *rate.Limiter

	mu       sync.Mutex
	guessing bool // there is one attempt that guesses ports
	guessed  time.Time
	attempts int
	peers    map[string]*peerLimit
}

type peerLimit struct {
	syns     *rate.Limiter
	attempts int
}

// NewLimiter returns a Limiter for one host. A peer may have 16 attempts under way, and draw 256
// SYNs at once and 32 a second after that; all together 4096 attempts, and 4096 SYNs and 1024 a second.
func NewLimiter() *Limiter {
	return &Limiter{GuessPause: time.Minute, host: rate.NewLimiter(hostRate, hostBurst), peers: make(map[string]*peerLimit)}
}

// Begin admits an attempt with a peer, or returns an error that matches
// [ErrBusy]. End gives its place back.
func (l *Limiter) Begin(peer string) (*Budget, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[peer]
	if p == nil {
		l.forgetIdle()
		p = &peerLimit{syns: rate.NewLimiter(peerRate, peerBurst)}
		l.peers[peer] = p
	}
	switch {
	case l.attempts >= maxHostAttempts:
		return nil, fmt.Errorf("%w: %d of this host", ErrBusy, l.attempts)
	case p.attempts >= maxPeerAttempts:
		return nil, fmt.Errorf("%w: %d of this peer", ErrBusy, p.attempts)
	}
	l.attempts++
	p.attempts++
	return &Budget{limiter: l, peer: p}, nil
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

// forgetIdle drops the peers whose allowance is whole again.
func (l *Limiter) forgetIdle() {
	for k, p := range l.peers {
		if p.attempts == 0 && p.syns.Tokens() >= peerBurst {
			delete(l.peers, k)
		}
	}
}

// A Budget is one attempt's share of a [Limiter].
type Budget struct {
	limiter *Limiter
	peer    *peerLimit
}

// Spend waits until a SYN may be sent. It fails if ctx ends before that, or its deadline is
// known to be earlier.
func (b *Budget) Spend(ctx context.Context) error {
	if b == nil {
		return nil
	}
	if err := b.peer.syns.Wait(ctx); err != nil {
		return err
	}
	return b.limiter.host.Wait(ctx)
}

// End gives the attempt's place back. It must be called once.
func (b *Budget) End() {
	if b == nil {
		return
	}
	b.limiter.mu.Lock()
	defer b.limiter.mu.Unlock()
	b.limiter.attempts--
	b.peer.attempts--
}
