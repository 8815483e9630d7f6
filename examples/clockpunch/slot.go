package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// isSelf reports whether an endpoint is our port at one of this host's addresses. At the
// NAT's address outside it is found out by the first hello.
func isSelf(peer netip.AddrPort, port uint16) bool {
	if peer.Port() != port {
		return false
	}
	if peer.Addr().IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == peer.Addr().WithZone("")
	})
}

// A puncher holds what lasts from slot to slot.
type puncher struct {
	clock  clock
	port   *tcpport.Port
	peer   netip.AddrPort
	expect *tcpport.Expectation
}

// window is how long a slot's punch goes on. Clocks that are 300 ms wrong, one fast
// and one slow, begin 600 ms apart: they have 300 ms in common with the shortest
// grid, a second's, and the rest of the window with longer ones. Between slots
// is a pause, so that both begin anew together.
func window(every time.Duration) time.Duration {
	return min(holepunch.Window, every-every/10)
}

// A tally is what happened in a slot.
type tally struct {
	start     time.Time // when the first SYN left, by the corrected clock
	connects  int
	refused   int   // of them, with a RST
	lastErr   error // of a connect that failed otherwise
	unsecured error // why the last connection was given up
}

// run punches once, now. The caller has made a new agreement beforehand, to lose
// no time.
func (p *puncher) run(ctx context.Context, a *agreement, window time.Duration) (*partner, tally, error) {
	var (
		t   tally
		mu  sync.Mutex // guards t
		met *partner
	)
	shake := func(slot context.Context, c *holepunch.Conn) (*partner, error) { return a.shake(ctx, slot, c) }
	err := holepunch.Serve(ctx, holepunch.Punch{
		Locals: []holepunch.Local{{Port: p.port, Expect: p.expect}},
		Remote: holepunch.Reflexive(p.peer),
		Window: window,
		Trace: func(e holepunch.Event) {
			now := p.clock.now()
			mu.Lock()
			defer mu.Unlock()
			t.add(e, now)
		},
	}, shake, func(m *partner) {
		m.up = p.clock.now()
		met = m
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if met != nil {
		met.part(ctx)
		err = nil
	}
	mu.Lock()
	defer mu.Unlock()
	return met, t, err
}

func (t *tally) add(e holepunch.Event, now time.Time) {
	switch e.Kind {
	case holepunch.Connecting:
		if t.connects++; t.connects == 1 {
			t.start = now
		}
	case holepunch.ConnectFailed:
		switch {
		case errors.Is(e.Err, syscall.ECONNREFUSED), errors.Is(e.Err, syscall.ECONNRESET):
			t.refused++
		case !isTimeout(e.Err):
			t.lastErr = e.Err
		}
	case holepunch.Unsecured:
		t.unsecured = e.Err
	}
}

// isTimeout tells silence, or the window's end, from an answer.
func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
