package holepunch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// TestLimiter: attempts, by peer and in all.
func TestLimiter(t *testing.T) {
	l := newLimiter(Limits{PeerAttempts: 2, HostAttempts: 3})
	begin := func(peer string) *budget {
		t.Helper()
		b, err := l.begin(peer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	wantBusy := func(peer string) {
		t.Helper()
		if _, err := l.begin(peer); !errors.Is(err, ErrBusy) {
			t.Errorf("one more attempt of %s: %v, want ErrBusy", peer, err)
		}
	}
	budgets := []*budget{begin("a"), begin("a")}
	wantBusy("a")
	budgets = append(budgets, begin("b"))
	wantBusy("c")
	for _, b := range budgets {
		b.end()
	}
	begin("a").end()
	if l.attempts != 0 || len(l.of) != 0 {
		t.Errorf("%d attempts are left, of %v", l.attempts, l.of)
	}
}

// TestSYNLimits: whatever the peers and the addresses, one of the bounds holds. Each row has a
// bound of its own, of 10 SYNs and 10 a second.
func TestSYNLimits(t *testing.T) {
	ten, any := Rate{10, 10}, Rate{1 << 20, 1 << 20}
	here, there := netip.MustParseAddr("46.0.0.1"), netip.MustParseAddr("46.0.0.2")
	for name, tc := range map[string]struct {
		limits Limits
		peers  []string
		to     []netip.Addr
		want   int // within a second
	}{
		"a peer, one address":     {Limits{ten, any, any, any, 0, 0}, []string{"a"}, []netip.Addr{here}, 20},
		"a peer, two addresses":   {Limits{ten, any, any, any, 0, 0}, []string{"a"}, []netip.Addr{here, there}, 20},
		"two peers, one address":  {Limits{any, ten, any, any, 0, 0}, []string{"a", "b"}, []netip.Addr{here}, 20},
		"two peers, two":          {Limits{any, ten, any, any, 0, 0}, []string{"a", "b"}, []netip.Addr{here, there}, 40},
		"two peers, no peer's":    {Limits{any, ten, ten, any, 0, 0}, []string{"a", "b"}, []netip.Addr{{}}, 20},
		"a thousand, a thousand":  {Limits{any, any, ten, any, 0, 0}, many("p", 1000), manyAddrs(1000), 20},
		"one subscriber's subnet": {Limits{any, ten, any, any, 0, 0}, []string{"a"}, []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(tc.limits)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				spent := 0
				for i := 0; ctx.Err() == nil; i++ {
					b, err := l.begin(tc.peers[i%len(tc.peers)]) // all attempts of a peer share its SYNs
					if err != nil {
						t.Fatal(err)
					}
					err = b.Spend(ctx, tc.to[i%len(tc.to)])
					b.end()
					if err == nil {
						spent++
					} else if !errors.Is(err, ErrBusy) && ctx.Err() == nil {
						t.Fatalf("%v, want ErrBusy", err)
					}
					if err != nil && i%len(tc.to) == 0 && i%len(tc.peers) == 0 {
						break
					}
				}
				if spent < tc.want-3 || spent > tc.want+3 { // at the deadline one more or less of each
					t.Errorf("%d SYNs within a second, want %d", spent, tc.want)
				}
			})
		})
	}
}

func many(name string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(name, i))
	}
	return names
}

func manyAddrs(n int) (as []netip.Addr) {
	a := netip.MustParseAddr("46.0.0.1")
	for range n {
		as, a = append(as, a), a.Next()
	}
	return as
}

// TestPended: what the kernel repeats is paid for, afterwards.
func TestPended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{PeerSYNs: Rate{2, 1}})
		b, err := l.begin("a")
		if err != nil {
			t.Fatal(err)
		}
		to := netip.MustParseAddr("46.0.0.1")
		if err := b.Spend(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		b.Pended(to, 10*time.Second+time.Second/2) // of the burst one was left: nine are owed
		begun := time.Now()
		if err := b.Spend(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the next SYN was to be had after %v, want 10 s", took)
		}
	})
}

// TestForgetting: keys of strangers are remembered while they owe something, and not much longer.
func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuckets[string](Rate{1, 1})
		for range 3 {
			for _, k := range many("k", 1000) {
				b.get(k).Allow()
			}
			if len(b.of) != 1000 {
				t.Fatalf("%d are remembered, want 1000", len(b.of))
			}
			time.Sleep(time.Second)
		}
		for _, k := range many("other", 2000) {
			b.get(k)
		}
		if _, ok := b.of["k0"]; ok || len(b.of) > 2000 {
			t.Errorf("%d are remembered, want 2000 at the most", len(b.of))
		}
	})
}

// TestForgottenPeer: attempts of a peer share its SYNs, also if it was forgotten between their
// beginnings.
func TestForgottenPeer(t *testing.T) {
	l := newLimiter(Limits{PeerSYNs: Rate{1, 0.001}})
	first, err := l.begin("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range many("p", minSweep+1) { // so many that peers who owe nothing are forgotten
		l.peers.get(peer)
	}
	second, err := l.begin("a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	to := netip.MustParseAddr("46.0.0.1")
	if err := second.Spend(ctx, to); err != nil {
		t.Fatal(err)
	}
	if err := first.Spend(ctx, to); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v for one SYN too many, want ErrBusy", err)
	}
}

// TestOffered: a peer that offers all the time is refused most of it, and others are not.
func TestOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{PeerOffers: Rate{3, 1}})
		served := 0
		for range 100 {
			err := l.offered("a")
			if err == nil {
				served++
			} else if !errors.Is(err, ErrBusy) {
				t.Fatalf("%v, want ErrBusy", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if served != 12 { // 3, and one in each of the nearly 10 s
			t.Errorf("%d OFFERs served, want 12", served)
		}
		if err := l.offered("b"); err != nil {
			t.Error(err)
		}
	})
}

func TestLimitsCheck(t *testing.T) {
	for _, l := range []Limits{{}, {PeerSYNs: Rate{1, 0.001}}, {HostSYNs: Rate{1, math.Inf(1)}}, {PeerAttempts: 1}} {
		if err := l.Check(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for name, l := range map[string]Limits{
		"PeerSYNs":     {PeerSYNs: Rate{0, 1}},
		"AddrSYNs":     {AddrSYNs: Rate{-1, 1}},
		"HostSYNs":     {HostSYNs: Rate{1, -1}},
		"PeerOffers":   {PeerOffers: Rate{1, math.NaN()}},
		"PeerAttempts": {PeerAttempts: -1},
		"HostAttempts": {HostAttempts: -1},
		"PeerOffers, of which there are no more after the first": {PeerOffers: Rate{Burst: 1}},
	} {
		field, _, _ := strings.Cut(name, ",")
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want an error about %s", l, err, name)
		}
	}
	if err := (Limits{PeerSYNs: Rate{0, 1}, PeerAttempts: -1}).Check(); !strings.Contains(err.Error(), "PeerSYNs") || !strings.Contains(err.Error(), "PeerAttempts") {
		t.Errorf("%v: want an error about both", err)
	}
}

// Ports are guessed for one peer at a time, and seldom.
func TestBeginGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{})
		end, err := l.beginGuess()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.beginGuess(); !errors.Is(err, ErrBusy) {
			t.Errorf("a second one at the same time: %v, want ErrBusy", err)
		}
		end()
		if _, err := l.beginGuess(); !errors.Is(err, ErrBusy) {
			t.Errorf("another at once: %v, want ErrBusy", err)
		}
		time.Sleep(guessPause)
		if _, err := l.beginGuess(); err != nil {
			t.Errorf("another after the pause: %v", err)
		}
	})
}

// TestRepay: an attempt that brings a connection costs the peer nothing, and other addresses to
// which the host sent SYNs stay protected.
func TestRepay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{PeerSYNs: Rate{100, 1}, AddrSYNs: Rate{100, 1}, HostSYNs: Rate{100, 1}, PeerOffers: Rate{100, 1}})
		peers, other, none := netip.MustParseAddr("46.0.0.1"), netip.MustParseAddr("46.0.0.2"), netip.Addr{}
		for range 5 {
			if err := l.offered("a"); err != nil {
				t.Fatal(err)
			}
			b, err := l.begin("a")
			if err != nil {
				t.Fatal(err)
			}
			for _, to := range []netip.Addr{peers, peers, other, none} {
				if err := b.Spend(t.Context(), to); err != nil {
					t.Fatal(err)
				}
			}
			b.Pended(peers, 7*time.Second)
			b.Pended(other, 3*time.Second)
			b.repay(peers, true)
			b.end()
		}
		for name, tc := range map[string]struct {
			l    *rate.Limiter
			left float64
		}{
			"OFFERs":               {l.offers.get("a"), 100},
			"the peer":             {l.peers.get("a"), 100 - 5*4},
			"the host":             {l.host, 100 - 5*4},
			"the peer's address":   {l.addrs.get(ipaddr.Customer(peers)), 100},
			"somebody else's":      {l.addrs.get(ipaddr.Customer(other)), 100 - 5*4},
			"an address of nobody": {l.addrs.get(ipaddr.Customer(netip.MustParseAddr("46.0.0.3"))), 100},
		} {
			if got := tc.l.Tokens(); got != tc.left {
				t.Errorf("%s: %v are left, want %v", name, got, tc.left)
			}
		}
	})
}

// TestHeldBack: a punch for which a limit held SYNs back for long has failed for that, and one that
// has waited for SYNs of its own, or at the end of its time, has not.
func TestHeldBack(t *testing.T) {
	to := netip.MustParseAddr("46.0.0.1")
	for name, tc := range map[string]struct {
		limits Limits
		syns   int
		time   time.Duration
		want   string
	}{
		"enough":             {Limits{}, 10, 10 * time.Second, ""},
		"its own, and quick": {Limits{PeerSYNs: Rate{1, 2}}, 10, 10 * time.Second, ""},
		"at the end":         {Limits{PeerSYNs: Rate{1, 2}}, 10, 2 * time.Second, ""},
		"the host's":         {Limits{HostSYNs: Rate{1, 0.5}}, 2, 10 * time.Second, "HostSYNs"},
		"the address's":      {Limits{AddrSYNs: Rate{1, 0.5}}, 2, 10 * time.Second, "AddrSYNs"},
		"refused":            {Limits{HostSYNs: Rate{1, 0.01}}, 2, 10 * time.Second, "HostSYNs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.time)
				defer cancel()
				b, err := newLimiter(tc.limits).begin("a")
				if err != nil {
					t.Fatal(err)
				}
				for range tc.syns {
					b.Spend(ctx, to)
				}
				failure := b.blame(ErrNoConnection)
				if got := ReasonOf(failure) == ErrBusy; got != (tc.want != "") || !strings.Contains(failure.Error(), tc.want) || !errors.Is(failure, ErrNoConnection) {
					t.Errorf("got %v, want %q", failure, tc.want)
				}
			})
		})
	}
}
