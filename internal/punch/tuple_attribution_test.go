package punch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// In these tests a host makes two attempts: with a peer, and with a liar that names the peer's
// address as its own.

// liar begins an attempt with a peer that names another host's candidates as its own.
func (s *side) liar(t *testing.T) *attempt {
	a := s.attempt(t, rand.N(2) == 0)
	a.stream.SetPeerToken(NewToken())
	return a
}

// TestSharedTupleAccepted: the peer has accepted the host's connection, and waits for a token. It
// gets the right one, from the attempt that has connected or from the next one.
func TestSharedTupleAccepted(t *testing.T) {
	t.Parallel()
	for name, liarFirst := range map[string]bool{"liar first": true, "liar second": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			host, peer := newSide(t), newSide(t)
			a, b := host.attempt(t, true), peer.attempt(t, false) // b accepts only
			introduce(a, b)
			l := host.liar(t)
			if liarFirst {
				l.open(ctx, peer.addr)
				a.open(ctx, peer.addr)
			} else {
				a.open(ctx, peer.addr)
				l.open(ctx, peer.addr)
			}
			wantSame(t, a, b)
			if l.stream.TCPConn() != nil {
				t.Error("the liar has a connection")
			}
		})
	}
}

// TestTupleSharedByMany: it makes no difference how many there are, and that they begin again all
// the time.
func TestTupleSharedByMany(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	host, peer := newSide(t), newSide(t)
	var liars sync.WaitGroup
	begun := make(chan struct{}, 1000)
	for range 3 {
		liars.Go(func() {
			for ctx.Err() == nil {
				l := host.liar(t)
				l.open(ctx, peer.addr)
				select {
				case begun <- struct{}{}:
				default:
				}
				sleep(ctx, rand.N(20*time.Millisecond))
				l.close()
				l.cancel()
			}
		})
	}
	defer liars.Wait()
	defer cancel()
	for range 3 {
		<-begun
	}
	for _, connects := range []bool{false, true} {
		a, b := host.attempt(t, true), peer.attempt(t, false)
		introduce(a, b)
		a.open(ctx, peer.addr)
		if connects {
			b.open(ctx, host.addr)
		}
		wantSame(t, a, b)
		a.close()
		b.close()
		tcpport.Reset(a.stream.TCPConn())
		tcpport.Reset(b.stream.TCPConn())
	}
}

// TestTupleSharedAtBothEnds: each side has an attempt with a liar, too.
func TestTupleSharedAtBothEnds(t *testing.T) {
	t.Parallel()
	for range 10 {
		ctx := testContext(t)
		host, peer := newSide(t), newSide(t)
		a, b := host.attempt(t, true), peer.attempt(t, false)
		introduce(a, b)
		open := []func(){
			func() { host.liar(t).open(ctx, peer.addr) },
			func() { peer.liar(t).open(ctx, host.addr) },
			func() { a.open(ctx, peer.addr) },
			func() { b.open(ctx, host.addr) },
		}
		for _, i := range rand.Perm(len(open)) {
			open[i]()
		}
		wantSame(t, a, b)
	}
}

// TestAwaitToken: what the other end of a connection of a shared tuple can do.
func TestAwaitToken(t *testing.T) {
	t.Parallel()
	token := NewToken()
	right := token.AppendPreamble(nil)
	for name, tc := range map[string]struct {
		peer func(c *net.TCPConn)
		want error
	}{
		"says nothing":           {func(c *net.TCPConn) {}, nil},
		"shows the token":        {func(c *net.TCPConn) { c.Write(right) }, errAttributed},
		"shows it slowly":        {func(c *net.TCPConn) { c.Write(right[:1]); time.Sleep(50 * time.Millisecond); c.Write(right[1:]) }, errAttributed},
		"shows an unknown token": {func(c *net.TCPConn) { c.Write(NewToken().AppendPreamble(nil)) }, ErrToken},
		"shows half a token":     {func(c *net.TCPConn) { c.Write(right[:20]) }, ErrSilent},
		"speaks":                 {func(c *net.TCPConn) { c.Write(make([]byte, preambleLen)) }, ErrPreamble},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSideWith(t, 300*time.Millisecond)
			conns := s.expect(t, token)
			c, peer := pipe(t)
			wrote := make(chan struct{})
			go func() {
				defer close(wrote)
				tc.peer(peer)
			}()
			if tc.want != nil {
				time.Sleep(time.Millisecond) // so that a slow one has begun
			}
			if err := s.receiver.awaitToken(testContext(t), c, 20*time.Millisecond); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			<-wrote
			switch tc.want {
			case nil: // it is the caller's, and has no deadline
				peer.Write([]byte("x"))
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
			case errAttributed:
				next(t, conns)
			default:
				wantReset(t, peer)
			}
			nothingWaits(t, s.receiver)
		})
	}
}

// TestAwaitTokenBeyondTheContext: an attempt that ends does not end the connection, which may be
// another one's.
func TestAwaitTokenBeyondTheContext(t *testing.T) {
	t.Parallel()
	s := newSide(t)
	token := NewToken()
	conns := s.expect(t, token)
	ctx, cancel := context.WithCancel(testContext(t))
	time.AfterFunc(time.Millisecond, cancel)
	c, peer := pipe(t)
	if err := s.receiver.awaitToken(ctx, c, testTimeout); err != errAttributed {
		t.Errorf("got %v, want %v", err, errAttributed)
	}
	peer.Write(token.AppendPreamble(nil))
	next(t, conns)

	// Without a token it belongs to no attempt.
	c, peer = pipe(t)
	if err := s.receiver.awaitToken(ctx, c, time.Millisecond); err != errAttributed {
		t.Errorf("got %v, want %v", err, errAttributed)
	}
	wantReset(t, peer)
	nothingWaits(t, s.receiver)
}

// TestTakenIsNoFailure: a connect whose 4-tuple was taken sends nothing, and does not count among
// the quick repeats. Otherwise a liar that takes the 4-tuple again and again would keep the pair
// waiting for its bursts.
func TestTakenIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	s := newSide(t)
	taking, err := s.port.Connect(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer tcpport.Reset(taking)
	times := defaultTimings
	times.retry, times.maxRetry, times.burstPause = time.Millisecond, time.Millisecond, time.Hour
	connects := 0
	r := Open(ctx, Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(to),
		Trace: func(step Step, _ uint16, _ netip.AddrPort, _ error) {
			if step == Connecting {
				if connects++; connects == 2*quickRepeats {
					cancel()
				}
			}
		},
		times: &times,
	}).Wait()
	if connects < 2*quickRepeats || r.Connects > 1 { // the last one was interrupted
		t.Errorf("tried %d times, and sent %d SYNs", connects, r.Connects)
	}
}
