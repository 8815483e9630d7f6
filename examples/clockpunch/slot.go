package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wlynxg/anet"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// maxWindow is how long a slot's punch goes on at most. A SYN that is lost twice is back after
	// 3 s, and NATs hold an unsolicited SYN for 6 s (RFC 5382, REQ-4).
	maxWindow = 10 * time.Second

	// talkTime is how long a connection may take until both sides have agreed on it: some round
	// trips, a second more for each packet that is lost, and the time in which the leader tries
	// others.
	talkTime = 10 * time.Second

	// maxAccepted is how many connections wait for a slot. The peer brings one or two.
	maxAccepted = 16
)

// isSelf reports whether an endpoint is our port at one of this host's addresses. At the NAT's
// address outside it is found out by the first hello.
func isSelf(peer netip.AddrPort, port uint16) bool {
	if peer.Port() != port {
		return false
	}
	if peer.Addr().IsLoopback() {
		return true
	}
	addrs, err := anet.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == peer.Addr().WithZone("")
	})
}

// A puncher holds what lasts from slot to slot.
type puncher struct {
	clock    clock
	port     *tcpport.Port
	peer     netip.AddrPort
	accepted chan *net.TCPConn // from the peer's address
}

// newPuncher opens a port. A peer whose clock is fast connects before our slot: its connection
// waits for that.
func newPuncher(port uint16, peer netip.AddrPort) (*puncher, error) {
	p := &puncher{peer: peer, accepted: make(chan *net.TCPConn, maxAccepted)}
	var err error
	p.port, err = tcpport.OpenNumber(port, p.accept, nil)
	return p, err
}

func (p *puncher) accept(c *net.TCPConn) {
	if remote(c).Addr().WithZone("") == p.peer.Addr().WithZone("") {
		select {
		case p.accepted <- c:
			return
		default:
		}
	}
	tcpport.Reset(c)
}

func (p *puncher) close() {
	p.port.Close()
	for len(p.accepted) > 0 {
		tcpport.Reset(<-p.accepted)
	}
}

// remote returns the address of a connection's other end.
func remote(c *net.TCPConn) netip.AddrPort {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// window returns how long a slot's punch goes on. If one clock is 300 ms fast and the other 300 ms
// slow, the two sides begin 600 ms apart. With the shortest grid, of a second, their windows
// overlap for 300 ms; with longer ones for the rest of the window. There is a pause between slots,
// so that both sides begin the next slot together.
func window(every time.Duration) time.Duration {
	return min(maxWindow, every-every/10)
}

// A tally is what happened in a slot.
type tally struct {
	start   time.Time    // when the first SYN left, by the corrected clock
	punch   punch.Result // the outcome of the connects
	dropped error        // why the last connection was given up
}

// run punches once, now. The caller has made a new agreement beforehand, to lose no time.
func (p *puncher) run(ctx context.Context, a *agreement, window time.Duration) (*partner, tally, error) {
	connects, stop := context.WithTimeout(ctx, window)
	defer stop()
	slot, over := context.WithCancel(ctx)
	defer over()
	var (
		mu  sync.Mutex // guards what follows
		t   tally
		met *partner
	)
	serve := func(c *net.TCPConn, accepted bool) error {
		talk, cancel := context.WithTimeout(slot, talkTime)
		defer cancel()
		m, err := a.settle(ctx, talk, c)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			tcpport.Reset(c)
			t.dropped = err
			return err
		}
		m.accepted, m.up = accepted, p.clock.now()
		met = m
		stop()
		over()
		return nil
	}
	opening := punch.Open(connects, punch.Round{
		Ports:  []*tcpport.Port{p.port},
		Remote: []punch.Candidate{{Kind: punch.Reflexive, Addr: p.peer}},
		Serve:  func(c *net.TCPConn) error { return serve(c, false) },
		Trace: func(step punch.Step, _ uint16, _ netip.AddrPort, _ error) {
			now := p.clock.now()
			mu.Lock()
			defer mu.Unlock()
			if step == punch.Connecting && t.start.IsZero() {
				t.start = now
			}
		},
	})
	var accepts sync.WaitGroup
	for connects.Err() == nil {
		select {
		case c := <-p.accepted:
			accepts.Go(func() { serve(c, true) })
		case <-connects.Done():
		}
	}
	t.punch = opening.Wait()
	accepts.Wait()
	if met != nil {
		met.part(ctx)
		return met, t, nil
	}
	return nil, t, context.Cause(ctx)
}
