package stun

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// probeCount is how many mappings are made one after another: one for each test, and enough to
	// recognise a pattern of ports if one of them fails.
	probeCount = 6

	// probeTime bounds the making of one mapping: the SYN is repeated after 1 s.
	probeTime = 2 * time.Second

	// hairpinTime bounds the attempt of two ports to meet: SYNs at 0 and 1 s, and the way to a
	// carrier's NAT.
	hairpinTime = 1500 * time.Millisecond

	// hairpinJitter is the longest pause after a refused connect. It is random so that the two
	// meet.
	hairpinJitter = 100 * time.Millisecond

	// forkPause is between attempts to connect again where the first connection still exists. A
	// process that another part of the program starts holds its socket for some milliseconds.
	forkPause = 10 * time.Millisecond

	// hairpinTries bounds the connects of each port. A refused SYN has left, and admits the
	// other's: two are enough, and one that crosses. A single server may have made the host believe
	// in another host's address, and then the SYNs go there.
	hairpinTries = 3
)

// maxAccepted bounds the connections that a probe keeps open. One may come from the server, and one
// from the other probe.
const maxAccepted = 8

// A probe is a local port for one test. Its mapping has sent to one endpoint of the server, and to
// nothing else.
type probe struct {
	port     *tcpport.Port
	accepted chan *net.TCPConn // kept open, so that the server can report that they came up
	conn     *Conn
	reported netip.AddrPort // where the server sees the port; the zero AddrPort if it did not say
	mapped   netip.AddrPort // the same, if it is credible
}

func newProbe(ctx context.Context, server netip.AddrPort, control tcpport.Control) (*probe, error) {
	p := &probe{accepted: make(chan *net.TCPConn, maxAccepted)}
	var err error
	p.port, err = tcpport.Open(func(c *net.TCPConn) {
		select {
		case p.accepted <- c:
		default:
			tcpport.Reset(c)
		}
	}, control)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if p.conn, err = Dial(ctx, p.port, server.String()); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *probe) close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = p.port.Close()
	close(p.accepted)
	for c := range p.accepted {
		tcpport.Reset(c)
	}
}

// test makes fresh mappings towards a server and runs a test with each, entering the results into
// o. It reports whether all mappings could be made, and the server did what it was asked. The tests
// wait for silence and therefore run concurrently. Nothing is sent to a mapping that the server
// reports unless it is at a known external address, since the server could make the host connect to
// any other host. Where servers disagree about those addresses, nothing is sent there.
func (s *survey) test(ctx context.Context, server *contact, external []netip.Addr, agreed bool, o *observations) (complete bool) {
	var probes []*probe
	var asking sync.WaitGroup
	var failed atomic.Bool
	for failures := 0; len(probes) < probeCount && failures < 2; {
		p, err := newProbe(ctx, server.addr, s.control)
		if err != nil {
			failures++
			continue
		}
		defer p.close()
		probes = append(probes, p)
		asking.Go(func() { // at once, since a server need not wait long for the request
			reported, err := p.conn.Binding(ctx)
			if err != nil {
				failed.Store(true)
				return
			}
			p.reported = reported
			if credible(server.addr.Addr(), p.conn.LocalAddr(), reported, external) {
				p.mapped = reported
			}
		})
	}
	asking.Wait()
	for _, p := range probes {
		if possible(server.addr.Addr(), p.conn.LocalAddr(), p.reported) {
			o.fresh = append(o.fresh, ObservedConn{Local: p.conn.LocalAddr(), Server: server.addr, Mapped: p.reported})
		}
	}
	if len(probes) < probeCount {
		return false // the path is too poor to conclude anything from silence
	}
	var tests sync.WaitGroup
	back := func(result *outcome, test func() (outcome, error)) {
		tests.Go(func() {
			var err error
			if *result, err = test(); err != nil {
				failed.Store(true)
			}
		})
	}
	tests.Go(func() { o.again = probes[0].reconnect(ctx, server.addr) })
	if agreed {
		tests.Go(func() { o.hairpin = meet(ctx, probes[1], probes[2]) })
	}
	if server.response.back != nil {
		back(&o.fromOther, func() (outcome, error) { return probes[3].connectBack(ctx, fromOther) })
		back(&o.fromOwn, func() (outcome, error) { return probes[4].connectBack(ctx, fromOwn) })
		counts := testsBareSYN(inferMapping(o.shared))
		back(&o.bareSYN, func() (outcome, error) { return s.bareSYN(ctx, probes[5], server, counts) })
	}
	tests.Wait()
	o.scattered = s.scatters(ctx, probes[1:], server, *o)
	return !failed.Load() && ctx.Err() == nil
}

// scatters reports whether a NAT with several addresses gives those of one port several of them.
// The shared connections may have the same address by chance: once in 64 times, with four addresses
// and four connections. If so, and the fresh mappings have several addresses, it connects once more
// from the port of each probe.
func (s *survey) scatters(ctx context.Context, probes []*probe, server *contact, o observations) bool {
	i := slices.IndexFunc(s.contacts, func(c *contact) bool {
		return c.err == nil && c.addr.Addr() != server.addr.Addr() && c.addr.Addr().Is4() == server.addr.Addr().Is4()
	})
	if i < 0 || !severalAddrs(o.fresh) || severalAddrs(o.shared) {
		return false
	}
	other := s.contacts[i].addr
	var found atomic.Bool
	var asking sync.WaitGroup
	for _, p := range probes {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTime)
			defer cancel()
			conn, err := Dial(ctx, p.port, other.String())
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			mapped, err := conn.Binding(ctx)
			if err == nil && p.reported.IsValid() && possible(other.Addr(), conn.LocalAddr(), mapped) && mapped.Addr() != p.reported.Addr() {
				found.Store(true)
			}
		})
	}
	asking.Wait()
	return found.Load()
}

// severalAddrs reports whether connections have more than one mapped IP address.
func severalAddrs(cs []ObservedConn) bool {
	return slices.ContainsFunc(cs, func(c ObservedConn) bool { return c.Mapped.Addr() != cs[0].Mapped.Addr() })
}

// connectBack asks the server to connect back. It fails if the server does not answer, or does not
// connect although it could: it was asked too often.
func (p *probe) connectBack(ctx context.Context, f from) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, connectBackTime+defaultTimeout)
	defer cancel()
	r, err := p.conn.roundTrip(ctx, connectBack{from: f})
	var refusal *ResponseError
	switch {
	case errors.As(err, &refusal):
		return notDone, nil
	case err != nil:
		return notDone, err
	case r.back == nil || r.back.from != f:
		return notDone, nil
	case r.back.outcome == notDone && f != fromOther: // which it may not have
		return notDone, errNotDone
	}
	return r.back.outcome, nil
}

var errNotDone = errors.New("the server did not connect back")

// bareSYN runs the test of that name, and again with another mapping if nothing arrived and that
// counts: few NATs let no bare SYN in, and two peers behind such NATs give up. With 5 % of loss at
// each end, all that one test sends is lost once in 30 times.
func (s *survey) bareSYN(ctx context.Context, p *probe, server *contact, counts bool) (outcome, error) {
	result, err := p.bareSYN(ctx, server)
	if result != noAnswer || !counts {
		return result, err
	}
	again, err := newProbe(ctx, server.addr, s.control)
	if err != nil {
		return notDone, err
	}
	defer again.close()
	return again.bareSYN(ctx, server)
}

// bareSYN sends a SYN to the server's silent port, and asks the server to send one from there.
func (p *probe) bareSYN(ctx context.Context, server *contact) (outcome, error) {
	silent := server.response.back.port
	if silent < ipaddr.MinPort { // none, or a service
		return notDone, nil
	}
	syn, err := p.port.Begin(netip.AddrPortFrom(server.addr.Addr(), silent))
	if err != nil {
		return notDone, nil // as on Windows, always
	}
	defer func() { _ = syn.Close() }()
	return p.connectBack(ctx, fromSilent)
}

// reconnect resets the connection and makes it again. It returns whether the mapping is the same.
func (p *probe) reconnect(ctx context.Context, server netip.AddrPort) Fact {
	reset(p.conn.nc)
	_ = p.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	conn, err := Dial(ctx, p.port, server.String())
	for errors.Is(err, tcpport.ErrTupleTaken) && sleep(ctx, forkPause) {
		conn, err = Dial(ctx, p.port, server.String())
	}
	if err != nil {
		return Unknown
	}
	defer func() { _ = conn.Close() }()
	mapped, err := conn.Binding(ctx)
	if err != nil || !p.mapped.IsValid() {
		return Unknown
	}
	return Known(mapped == p.mapped)
}

// meet makes two ports connect to each other at their mappings, and returns whether they can.
func meet(ctx context.Context, a, b *probe) Fact {
	if !a.mapped.IsValid() || !b.mapped.IsValid() || a.mapped == b.mapped {
		return Unknown // a server lies that reports one mapping for two connections
	}
	both, cancel := context.WithTimeout(ctx, hairpinTime)
	defer cancel()
	var met atomic.Bool
	var wg sync.WaitGroup
	connect := func(from, to *probe) {
		if from.reach(both, to.mapped) {
			met.Store(true)
			cancel()
		}
	}
	wg.Go(func() { connect(a, b) })
	wg.Go(func() { connect(b, a) })
	wg.Wait()
	if ctx.Err() != nil && !met.Load() {
		return Unknown
	}
	return Known(met.Load())
}

// reach reports whether one of a few connects to remote succeeds before ctx ends.
func (p *probe) reach(ctx context.Context, remote netip.AddrPort) bool {
	for range hairpinTries {
		c, err := p.port.Connect(ctx, remote)
		if err == nil {
			tcpport.Reset(c)
			return true
		}
		if errors.Is(err, tcpport.ErrTupleTaken) {
			return true // the other's SYN was admitted first
		}
		sleep(ctx, rand.N(hairpinJitter))
	}
	return false
}

// sleep waits, and reports whether ctx has not ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
