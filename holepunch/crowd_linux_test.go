package holepunch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A crowd is a host and peers that it punches with at once, all in this process and on
// loopback. They share one address, as peers behind a carrier's NAT do, so that the ports
// alone tell them apart.
type crowd struct {
	host  member
	peers []member
}

// A member has a warm port and a spare one, as a host of libp2p's has. All its punches
// share them.
type member struct {
	ports []*tcpport.Port
}

func newCrowd(t testing.TB, n int) *crowd {
	t.Helper()
	c := &crowd{host: newMember(t, tcpport.Open)}
	for range n {
		c.peers = append(c.peers, newMember(t, tcpport.OpenIPv4))
	}
	return c
}

func newMember(t testing.TB, open func() (*tcpport.Port, error)) member {
	t.Helper()
	var m member
	for range MaxLocals {
		p, err := open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		m.ports = append(m.ports, p)
	}
	return m
}

func (m member) terms() Terms {
	t := Terms{Behaviour: stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF}}
	for i, p := range m.ports {
		cs := Reflexive(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Number()))
		cs[0].Local = i
		t.Candidates = append(t.Candidates, cs...)
	}
	return t
}

// expect begins a punch's part that is the ports'.
func (m member) expect() (ls []Local, end func()) {
	for _, p := range m.ports {
		ls = append(ls, Local{p, p.Expect()})
	}
	return ls, func() {
		for _, l := range ls {
			l.Expect.Close()
		}
	}
}

// punch has the host punch with every peer at once, and returns when all have ended.
// Every second one is initiated by the peer. The connections are reset. Gate is called by each
// initiator when it has a connection, before the handshake.
func (c *crowd) punch(ctx context.Context, gate func(ctx context.Context, peer int)) error {
	room := Rate{4 * len(c.peers), 128}
	limiter := NewLimiter(Limits{AddrSYNs: room, HostSYNs: room}) // of a host that has been idle; all its peers are at one address
	errs := make([]error, 2*len(c.peers))
	var all sync.WaitGroup
	for i, peer := range c.peers {
		initiator, responder := c.host, peer
		var initiators, responders *Limiter = limiter, nil
		if i%2 == 1 {
			initiator, responder = responder, initiator
			initiators, responders = responders, initiators
		}
		a, b := pipe()
		name := strconv.Itoa(i)
		all.Go(func() {
			errs[2*i] = initiator.initiate(ctx, a, initiators, name, func(ctx context.Context) { gate(ctx, i) })
		})
		all.Go(func() {
			errs[2*i+1] = responder.respond(ctx, b, responders, name)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m member) initiate(ctx context.Context, s *pipeEnd, l *Limiter, peer string, gate func(context.Context)) error {
	defer s.Close()
	budget, err := l.Begin(peer)
	if err != nil {
		return err
	}
	defer budget.End()
	locals, end := m.expect()
	defer end()
	own := m.terms()
	signal, theirs, err := Offer(ctx, s, own, netip.AddrPort{})
	if err != nil {
		return err
	}
	p, err := plan(locals, own, theirs, budget)
	if err != nil {
		return err
	}
	over := hear(signal, func() {})
	defer func() {
		s.Close()
		<-over
	}()
	c, err := Open(ctx, p, func(ctx context.Context, c *Conn) (*net.TCPConn, error) {
		gate(ctx)
		if err := c.Choose(ctx); err != nil {
			return nil, err
		}
		return shakeInitiator(ctx, c)
	})
	signal.Done(err, "")
	if err == nil {
		tcpport.Reset(c)
	}
	return err
}

func (m member) respond(ctx context.Context, s *pipeEnd, l *Limiter, peer string) error {
	defer s.Close()
	offer, err := Receive(ctx, s)
	if err != nil {
		return err
	}
	budget, err := l.Begin(peer)
	if err != nil {
		return err
	}
	defer budget.End()
	locals, end := m.expect()
	defer end()
	own := m.terms()
	p, err := plan(locals, own, offer.Terms, budget)
	if err != nil {
		return err
	}
	if err := offer.Answer(0, own); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A handshake whose other end has gone away is not waited for.
	over := hear(offer.Signal, func() {
		soon := time.AfterFunc(3*time.Second, cancel)
		context.AfterFunc(ctx, func() { soon.Stop() })
	})
	err = Serve(ctx, p, shakeResponder, func(c *net.TCPConn) {
		context.AfterFunc(ctx, func() { tcpport.Reset(c) })
	})
	if err != nil {
		s.Close()
	}
	<-over // the initiator has its end
	return err
}

func plan(locals []Local, own, theirs Terms, budget *Budget) (Punch, error) {
	remote, err := Admissible(own.Candidates, theirs.Candidates, nil)
	if err != nil {
		return Punch{}, err
	}
	for _, l := range locals {
		l.Expect.From(addrsOf(remote))
	}
	return Punch{Locals: locals, Remote: remote, Budget: budget}, nil
}

// hear takes what the other side says until the stream ends, and calls done when the other
// side says that it is.
func hear(signal *Signal, done func()) (over <-chan struct{}) {
	end := make(chan struct{})
	go func() {
		defer close(end)
		for {
			n, err := signal.Next(context.Background())
			if err != nil {
				return
			}
			if n.Type == pb.Message_DONE {
				done()
			}
		}
	}()
	return end
}
