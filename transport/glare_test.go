package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestGlareOrders tries every order in which two peers may offer and receive each other's OFFERs,
// with the counts of their tables of peers. Never are both initiators of attempts that punch at the
// same time, and neither refuses an OFFER unless its own can still be answered. With another rule
// than that of the lower peer ID, it finds what goes wrong.
func TestGlareOrders(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		selves [2]peer.ID // what each takes itself for
		want   string
	}{
		"the lower one is the initiator": {glareIDs, ""},
		"both yield":                     {[2]peer.ID{"z", "z"}, "both are initiators"},
		"neither yields":                 {[2]peer.ID{"", ""}, "refused for nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			states, ends, wrong := glareOrders(tc.selves)
			t.Logf("%d states, %d of them an end; %s", states, ends, wrong)
			if !strings.Contains(wrong, tc.want) || (wrong == "") != (tc.want == "") {
				t.Errorf("want %q", tc.want)
			}
		})
	}
}

// glareOrders visits every state, and returns the shortest way to what must not be.
func glareOrders(selves [2]peer.ID) (states, ends int, wrong string) {
	const most = 2 // OFFERs of each peer
	first := &glareState{selves: selves, sides: [2]*peerTable{newPeerTable(), newPeerTable()}}
	todo, seen := []*glareState{first}, map[string]bool{first.key(): true}
	for n := 0; n < len(todo); n++ {
		next := todo[n].next(most)
		if len(next) == 0 {
			ends++
			todo[n].checkEnd()
		}
		for _, c := range append(next, todo[n]) {
			if c.check(); c.wrong != "" {
				return len(todo), ends, c.wrong + ", after\n\t" + strings.Join(c.way, "\n\t")
			}
			if !seen[c.key()] {
				seen[c.key()] = true
				todo = append(todo, c)
			}
		}
	}
	return len(todo), ends, ""
}

// An offering is what has become of an OFFER.
type offering int

const (
	onTheWay offering = iota
	punching          // it was answered, and both punch
	refused           // and the refusal is on its way
	over              // for the side that offered
	gone              // for both
)

type glareOffer struct {
	by int
	is offering
}

type glareState struct {
	sides  [2]*peerTable
	offers []glareOffer
	done   [2]int // offered so far
	selves [2]peer.ID
	way    []string
	wrong  string
}

var glareIDs = [2]peer.ID{"a", "b"}

func glareCounts(t *peerTable, p peer.ID) (offers, answers int) {
	if s := t.states[p]; s != nil {
		offers, answers = s.offers, s.answers.underWay
	}
	return offers, answers
}

func (s *glareState) key() string {
	k := fmt.Sprint(s.done)
	for i, t := range s.sides {
		offers, answers := glareCounts(t, glareIDs[1-i])
		k += fmt.Sprint(offers, answers > 0)
	}
	offers := slices.Clone(s.offers)
	slices.SortFunc(offers, func(a, b glareOffer) int { return (a.by-b.by)*10 + int(a.is-b.is) })
	return k + fmt.Sprint(offers)
}

func (s *glareState) after(what string, do func(c *glareState)) *glareState {
	c := &glareState{offers: slices.Clone(s.offers), done: s.done, selves: s.selves, way: append(slices.Clip(s.way), what)}
	for i, t := range s.sides {
		c.sides[i] = newPeerTable()
		for p := range t.states {
			offers, answers := glareCounts(t, p)
			c.sides[i].with(p, func(s *peerState) { s.offers, s.answers.underWay = offers, answers })
		}
	}
	do(c)
	return c
}

// next are the states that may come next.
func (s *glareState) next(most int) (cs []*glareState) {
	for i := range s.sides {
		if s.done[i] < most {
			cs = append(cs, s.after(fmt.Sprintf("%s offers", glareIDs[i]), func(c *glareState) {
				c.done[i]++
				if _, err := c.sides[i].beginOffer(glareIDs[1-i], answers{}); err == nil {
					c.offers = append(c.offers, glareOffer{by: i})
				}
			}))
		}
	}
	for n, o := range s.offers {
		own, other := glareIDs[o.by], glareIDs[1-o.by]
		move := func(what string, do func(c *glareState, o *glareOffer)) {
			cs = append(cs, s.after(what, func(c *glareState) { do(c, &c.offers[n]) }))
		}
		switch o.is {
		case onTheWay:
			move(fmt.Sprintf("%s receives an OFFER", other), func(c *glareState, o *glareOffer) {
				if c.sides[1-o.by].beginAnswer(c.selves[1-o.by], own) == nil {
					o.is = punching
					return
				}
				o.is = refused
				if c.count(1-o.by, onTheWay, punching) == 0 {
					c.wrong = fmt.Sprintf("%s is refused for nothing: %v", own, c.offers)
				}
			})
			move(fmt.Sprintf("%s gives up before there is an ANSWER", own), func(c *glareState, o *glareOffer) {
				c.sides[o.by].endOffer(other)
				o.is = gone // the OFFER is on a stream that is reset
			})
		case punching:
			move(fmt.Sprintf("%s's attempt is over", own), func(c *glareState, o *glareOffer) {
				c.sides[o.by].endOffer(other)
				o.is = over
			})
		case refused:
			move(fmt.Sprintf("%s learns that it is refused", own), func(c *glareState, o *glareOffer) {
				c.sides[o.by].endOffer(other)
				o.is = gone
			})
		case over:
			move(fmt.Sprintf("%s learns of the end", other), func(c *glareState, o *glareOffer) {
				c.sides[1-o.by].endAnswer(own, nil)
				o.is = gone
			})
		}
	}
	return cs
}

func (s *glareState) count(by int, is ...offering) (n int) {
	for _, o := range s.offers {
		if o.by == by && slices.Contains(is, o.is) {
			n++
		}
	}
	return n
}

func (s *glareState) check() {
	if s.count(0, punching) > 0 && s.count(1, punching) > 0 {
		s.wrong = fmt.Sprintf("both are initiators: %v", s.offers)
	}
}

func (s *glareState) checkEnd() {
	for i, t := range s.sides {
		if len(t.states) > 0 {
			s.wrong = fmt.Sprintf("%s remembers %v in the end", glareIDs[i], t.states)
		}
	}
}

// A caller that waits for the peer's own attempt learns how it ended.
func TestAwaitInbound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		events func(t *Transport, h *stubHost, p peer.ID, cancel context.CancelFunc)
		want   error // besides ErrGlare
		after  time.Duration
	}{
		"made by other means": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			h.add(stubDirect)
			t.peers.with(p, (*peerState).wake)
		}, nil, 0},
		"made": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			time.Sleep(time.Second)
			t.peers.endAnswer(p, nil)
			time.Sleep(3 * time.Second) // until the swarm has taken it
			h.add(stubDirect)
			t.peers.with(p, (*peerState).wake)
		}, nil, 4 * time.Second},
		"failed": {func(t *Transport, _ *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			time.Sleep(time.Second)
			t.peers.endAnswer(p, holepunch.ErrNoConnection)
		}, holepunch.ErrNoConnection, time.Second},
		"one of two failed": {func(t *Transport, h *stubHost, p peer.ID, _ context.CancelFunc) {
			t.peers.beginAnswer("self", p)
			t.peers.beginAnswer("self", p)
			t.peers.endAnswer(p, holepunch.ErrNoConnection)
			time.Sleep(time.Second)
			h.add(stubDirect)
			t.peers.endAnswer(p, nil)
		}, nil, time.Second},
		"no OFFER": {func(*Transport, *stubHost, peer.ID, context.CancelFunc) {}, nil, inboundTimeout},
		"given up": {func(_ *Transport, _ *stubHost, _ peer.ID, cancel context.CancelFunc) {
			time.Sleep(time.Second)
			cancel()
		}, context.Canceled, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, h := &Transport{peers: newPeerTable()}, &stubHost{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				go tc.events(tr, h, "peer", cancel)
				done := tr.peers.wait("peer")
				err := tr.awaitInbound(ctx, h, "peer", answers{})
				done()
				if !errors.Is(err, ErrGlare) || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v and %v", err, ErrGlare, tc.want)
				}
				if took := time.Since(begin); took != tc.after {
					t.Errorf("took %v, want %v", took, tc.after)
				}
				synctest.Wait()
				if n := len(tr.peers.states); n > 0 {
					t.Errorf("%d peers are remembered", n)
				}
			})
		})
	}
}

// A side that has given way to the peer's attempt learns that it failed, also if that was before
// the wait began.
func TestPeersAttemptFailedAtOnce(t *testing.T) {
	t.Parallel()
	tr, h, p := &Transport{peers: newPeerTable()}, &stubHost{}, peer.ID("peer")
	defer tr.peers.wait(p)()
	if err := tr.peers.beginAnswer("self", p); err != nil {
		t.Fatal(err)
	}
	before, err := tr.peers.beginOffer(p, answers{})
	if !errors.Is(err, ErrGlare) {
		t.Fatalf("got %v: offers although it is answering", err)
	}
	tr.peers.endAnswer(p, holepunch.ErrNoConnection)
	if err := tr.awaitInbound(testContext(t), h, p, before); !errors.Is(err, ErrGlare) || !errors.Is(err, holepunch.ErrNoConnection) {
		t.Errorf("got %v, want ErrGlare and why the peer's attempt failed", err)
	}
}

// A blockingFilter holds up whoever asks first for the addresses to name.
type blockingFilter struct {
	asked            atomic.Bool
	blocked, release chan struct{}
}

func (f *blockingFilter) FilterLocal(_ peer.ID, as []ma.Multiaddr) []ma.Multiaddr {
	if f.asked.CompareAndSwap(false, true) {
		close(f.blocked)
		<-f.release
	}
	return as
}

func (f *blockingFilter) FilterRemote(_ peer.ID, as []ma.Multiaddr) []ma.Multiaddr { return as }

// A peer's OFFER is answered until this host's own leaves, whatever their IDs: an attempt may take
// long until then, or end. When it comes to its OFFER it is not needed any more.
func TestOfferBeforeOwn(t *testing.T) {
	t.Parallel()
	for _, lower := range []bool{true, false} {
		t.Run(fmt.Sprintf("lower %v", lower), func(t *testing.T) {
			t.Parallel()
			servers := WithSTUNServers(stuntest.New(t))
			relay := newRelay(t)
			f := &blockingFilter{blocked: make(chan struct{}), release: make(chan struct{})}
			a, b := newPeer(t, Enable(servers, WithOnRequestOnly(), WithAddrFilter(f))), newPeer(t, Enable(servers, WithOnRequestOnly()))
			for (a.ID() < b.ID()) != lower {
				b = newPeer(t, Enable(servers, WithOnRequestOnly()))
			}
			connectRelayed(t, relay, a, b)
			defer find(b).peers.wait(a.ID())() // its count of this host's OFFERs is kept
			type result struct {
				c   network.Conn
				err error
			}
			own := make(chan result, 1)
			go func() {
				c, err := find(a).dialOnce(testContext(t), a, b.ID()) // which no direct connection cancels
				own <- result{c, err}
			}()
			<-f.blocked
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Errorf("the peer's attempt: %v", err)
			}
			close(f.release)
			if got := <-own; got.err != nil || got.c != directConn(a, b.ID()) {
				t.Errorf("the own attempt: %v, %v", got.c, got.err)
			}
			if _, got := find(b).peers.changed(a.ID()); got.underWay+got.ended > 0 {
				t.Errorf("this host has offered: %+v", got)
			}
		})
	}
}
