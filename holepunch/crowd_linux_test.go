package holepunch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A crowd is a host and peers that it punches with at once, all in this process and on loopback.
// They share one address, as peers behind a carrier's NAT do, so that the ports alone tell them
// apart.
type crowd struct {
	host  *Agent
	peers []*Agent
}

func newCrowd(t testing.TB, n int) *crowd {
	t.Helper()
	room := Rate{8 * n, 1 << 20} // of a host that has been idle; all its peers are at one address
	limits := Limits{PeerSYNs: room, AddrSYNs: room, HostSYNs: room, PeerOffers: room, HostAttempts: n}
	c := &crowd{host: newMember(t, limits, tcpport.Open)}
	for range n {
		c.peers = append(c.peers, newMember(t, limits, tcpport.OpenIPv4))
	}
	return c
}

// newMember returns an agent with two warm ports, which all its punches share.
func newMember(t testing.TB, l Limits, open func(func(*net.TCPConn), tcpport.Control) (*tcpport.Port, error)) *Agent {
	t.Helper()
	a := newAgent(t, Config{Limits: l})
	d := &gather.Description{Behaviour: stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF}}
	for i := range punch.MaxPorts {
		p, err := open(a.receiver.Accept, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		d.Ports = append(d.Ports, p)
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Number())
		d.Candidates = append(d.Candidates, punch.Candidate{Kind: punch.Reflexive, Addr: addr, Port: i})
	}
	a.gather = func(context.Context, gather.Options) (*gather.Description, error) { return d, nil }
	a.release = func(*gather.Description) {}
	// Without these a punch that is slow would start the Gatherer's goroutine.
	a.egress = func(context.Context, []netip.AddrPort) (stun.Fact, error) { return stun.Unknown, nil }
	a.gotOut = func(*gather.Description, netip.Addr, netip.AddrPort) {}
	return a
}

// punch has the host punch with every peer at once, and returns when all have ended. Every second
// one is initiated by the peer. The connections are reset. Gate is called by each initiator when it
// has a connection, before it chooses that.
func (c *crowd) punch(ctx context.Context, gate func(ctx context.Context, peer int)) error {
	errs := make([]error, 2*len(c.peers))
	var all sync.WaitGroup
	for i, peer := range c.peers {
		initiator, responder := c.host, peer
		if i%2 == 1 {
			initiator, responder = responder, initiator
		}
		a, b := pipe()
		name := strconv.Itoa(i)
		var accepted sync.WaitGroup
		accepted.Go(func() {
			defer b.Close()
			var conn *Conn
			if conn, errs[2*i+1] = responder.Accept(ctx, b, &Options{Peer: name}); conn != nil {
				tcpport.Reset(conn.TCPConn())
				conn.Close()
			}
		})
		all.Go(func() {
			defer a.Close()
			conn, err := initiator.Dial(ctx, a, &Options{Peer: name, Admit: func(*net.TCPConn, bool) error {
				gate(ctx, i)
				return nil
			}})
			errs[2*i] = err
			accepted.Wait() // or the choice is lost with the connection
			if conn != nil {
				tcpport.Reset(conn.TCPConn())
				conn.Close()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
