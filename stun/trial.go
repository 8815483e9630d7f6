package stun

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// freshPorts is how many mappings are made one after another: one for each
	// trial, and enough for a pattern to be seen when one of them fails.
	freshPorts = 6

	// freshTime is how long one of them may take: the SYN again after 1 s.
	freshTime = 2 * time.Second

	// minMapped is the lowest external port that is believed: NATs give none below
	// 1024 (RFC 4787, REQ-3), and services listen there.
	minMapped = 1024

	// hairpinTime is how long two ports try to meet: SYNs at 0 and 1 s, and
	// the way to a carrier's NAT.
	hairpinTime = 1500 * time.Millisecond

	// hairpinJitter is the most that passes after a connect was refused, at
	// random so that the two meet.
	hairpinJitter = 100 * time.Millisecond

	// hairpinTries bounds the connects of each. A SYN that is refused has gone out, and
	// lets the other's in: two are enough, and one that crosses. Where the address is
	// another's, as a single server can have us believe, they go there.
	hairpinTries = 3
)

// A trial is a port for one test. Its mapping has sent to one endpoint of the
// server, and to nothing else.
type trial struct {
	port   *tcpport.Port
	expect *tcpport.Expectation // so that what comes in is not reset before the server has told of it
	conn   *Conn
	mapped netip.AddrPort // the zero AddrPort if it is not known
}

func newTrial(ctx context.Context, server netip.AddrPort) (*trial, error) {
	port, err := tcpport.Open()
	if err != nil {
		return nil, err
	}
	t := &trial{port: port, expect: port.Expect()}
	ctx, cancel := context.WithTimeout(ctx, freshTime)
	defer cancel()
	if t.conn, err = Dial(ctx, port, server.String()); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trial) close() {
	if t.conn != nil {
		_ = t.conn.Close()
	}
	t.expect.Close()
	_ = t.port.Close()
}

// credible reports whether a server can see a local port at a mapped address, by all
// that is known. The port is the local one where the address is the host's own.
func credible(server netip.Addr, local, mapped netip.AddrPort, external []netip.Addr) bool {
	a := mapped.Addr()
	own := a == local.Addr() || a.IsLoopback()
	return CheckMapped(server, a) == nil && slices.Contains(external, a) && mapped.Port() >= minMapped &&
		(!own || mapped == local)
}

// try makes fresh mappings towards a server, and a test with each. The tests wait for
// silence, so they run side by side. What the server says of a mapping counts only at the
// external addresses that are known: it could have us connect to anybody. Where servers
// disagree about those, nothing is sent there.
func try(ctx context.Context, server *contact, external []netip.Addr, agreed bool, o *observations) {
	var trials []*trial
	var asking sync.WaitGroup
	for failures := 0; len(trials) < freshPorts && failures < 2; {
		t, err := newTrial(ctx, server.addr)
		if err != nil {
			failures++
			continue
		}
		defer t.close()
		trials = append(trials, t)
		asking.Go(func() { // at once, for a server need not wait long
			mapped, err := t.conn.Binding(ctx)
			if err == nil && credible(server.addr.Addr(), t.conn.LocalAddr(), mapped, external) {
				t.mapped = mapped
			}
		})
	}
	asking.Wait()
	for _, t := range trials {
		if t.mapped.IsValid() {
			o.fresh = append(o.fresh, sighting{local: t.conn.LocalAddr(), server: server.addr, mapped: t.mapped})
		}
	}
	if len(trials) < freshPorts {
		return // as good as no connection
	}
	tests := []func(){
		func() { o.again = trials[0].again(ctx, server.addr) },
	}
	if agreed {
		tests = append(tests, func() { o.hairpin = meet(ctx, trials[1], trials[2]) })
	}
	if server.answer.back != nil {
		tests = append(tests,
			func() { o.fromOther = trials[3].callback(ctx, fromOther) },
			func() { o.fromOwn = trials[4].callback(ctx, fromOwn) },
			func() { o.bareSYN = trials[5].bareSYN(ctx, server) },
		)
	}
	var testing sync.WaitGroup
	for _, test := range tests {
		testing.Go(test)
	}
	testing.Wait()
}

// callback asks the server to connect back.
func (t *trial) callback(ctx context.Context, f from) outcome {
	ctx, cancel := context.WithTimeout(ctx, callbackTime+defaultTimeout)
	defer cancel()
	a, err := t.conn.ask(ctx, connectBack{from: f})
	if err != nil || a.back == nil || a.back.from != f {
		return notDone
	}
	return a.back.outcome
}

// bareSYN sends a SYN to the server's silent port, and lets it answer with a SYN of
// its own.
func (t *trial) bareSYN(ctx context.Context, server *contact) outcome {
	silent := server.answer.back.port
	if silent < minMapped { // none, or a service
		return notDone
	}
	syn, err := t.port.Begin(netip.AddrPortFrom(server.addr.Addr(), silent))
	if err != nil {
		return notDone
	}
	defer func() { _ = syn.Close() }()
	return t.callback(ctx, fromSilent)
}

// again resets the connection and makes it anew.
func (t *trial) again(ctx context.Context, server netip.AddrPort) Fact {
	reset(t.conn.nc)
	_ = t.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	conn, err := Dial(ctx, t.port, server.String())
	if err != nil {
		return Unknown
	}
	defer func() { _ = conn.Close() }()
	mapped, err := conn.Binding(ctx)
	if err != nil || !t.mapped.IsValid() {
		return Unknown
	}
	return Known(mapped == t.mapped)
}

// meet lets two ports connect to each other at their mappings.
func meet(ctx context.Context, a, b *trial) Fact {
	if !a.mapped.IsValid() || !b.mapped.IsValid() || a.mapped == b.mapped {
		return Unknown // two connections to one server have two mappings
	}
	both, cancel := context.WithTimeout(ctx, hairpinTime)
	defer cancel()
	var met [2]bool
	var wg sync.WaitGroup
	for i, from := range []*trial{a, b} {
		to := []*trial{b, a}[i]
		wg.Go(func() {
			if met[i] = from.reach(both, to.mapped); met[i] {
				cancel()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil && !met[0] && !met[1] {
		return Unknown
	}
	return Known(met[0] || met[1])
}

// reach connects until it succeeds, some times, or until ctx ends.
func (t *trial) reach(ctx context.Context, remote netip.AddrPort) bool {
	for range hairpinTries {
		c, err := t.port.Connect(ctx, remote)
		if err == nil {
			tcpport.Reset(c)
			return true
		}
		if errors.Is(err, tcpport.ErrTupleTaken) {
			return true // the other's SYN was let in before
		}
		select {
		case <-time.After(rand.N(hairpinJitter)):
		case <-ctx.Done():
		}
	}
	return false
}
