package holepunch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestStrangersDoNotKeepThePeerWaiting: a peer that comes from a port which nobody could name is
// one among those that come from its address. As many strangers as there are places came before it, and
// have begun a handshake or not.
func TestStrangersDoNotKeepThePeerWaiting(t *testing.T) {
	for name, word := range map[string]string{"silent": "", "in the middle of a handshake": hello[:5]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victim := newSide(t)
			nobody := netip.AddrPortFrom(victim.addr.Addr(), 1)
			victim.expect.From([]netip.AddrPort{nobody})
			came := make(chan struct{}, 1000)
			p := Punch{Locals: []Local{{victim.port, victim.expect}}, Trace: func(e Event) {
				if e.Kind == Accepted {
					came <- struct{}{}
				}
			}}
			// Less than a handshake may take.
			ctx, cancel := context.WithTimeout(t.Context(), 2*shakeTimeout-time.Second)
			defer cancel()
			var served sync.WaitGroup
			defer served.Wait()
			served.Go(func() {
				defer cancel()
				err := Serve(ctx, p, shakeResponder, func(c *net.TCPConn) {
					c.Close()
					cancel()
				})
				if err != nil {
					t.Error(err)
				}
			})
			for range maxStrangers {
				c, err := net.Dial("tcp4", victim.addr.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				io.WriteString(c, word)
				<-came
			}
			peer, err := net.Dial("tcp4", victim.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			io.WriteString(peer, hello)
			<-ctx.Done()
		})
	}
}

// TestStrangersDoNotTakeTurns: when the peer has had its time to answer on one of its connections, the
// next one has its turn, however many strangers came before it, and so have they.
func TestStrangersDoNotTakeTurns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &punch[*Conn]{
		Punch:    Punch{Remote: Reflexive(listenSomewhere(t), listenSomewhere(t))},
		contest:  contest{initiator: true},
		shake:    func(ctx context.Context, c *Conn) (*Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		shakes:   make(chan result[*Conn]),
		nextTurn: time.NewTimer(time.Hour),
	}
	defer p.nextTurn.Stop()
	bring := func(to netip.AddrPort) *Conn {
		nc, err := net.Dial("tcp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		c := newConn(nc.(*net.TCPConn), false)
		p.enqueue(c)
		return c
	}
	turns := func() {
		for c := p.due(); c != nil; c = p.due() {
			p.shakeOn(ctx, c)
		}
	}
	first := bring(p.Remote[0].Addr)
	turns()
	for range 5 {
		bring(listenSomewhere(t))
	}
	second := bring(p.Remote[1].Addr)
	turns()
	if len(p.shaking) != 1 {
		t.Errorf("%d handshakes while the peer may yet answer on the first, want 1", len(p.shaking))
	}
	p.impatient = true // as when nextTurn has run out
	turns()
	if !slices.Contains(p.shaking, first) || !slices.Contains(p.shaking, second) || len(p.shaking) != 7 {
		t.Errorf("%d handshakes, want those on both of the peer's connections and the strangers' 5", len(p.shaking))
	}
	cancel()
	for range p.shaking {
		<-p.shakes
	}
}

// TestStrangersAreNoReason: what strangers do is not why there is no connection with the peer.
func TestStrangersAreNoReason(t *testing.T) {
	nc, err := net.Dial("tcp4", listenSomewhere(t).String())
	if err != nil {
		t.Fatal(err)
	}
	p := &punch[*Conn]{}
	p.giveUp(newConn(nc.(*net.TCPConn), true), errors.New("speaks another language"))
	if err := p.reason(t.Context()); !errors.Is(err, ErrNoConnection) {
		t.Errorf("got %v, want %v", err, ErrNoConnection)
	}
}

// TestStrangerAtForetoldPort: a port that was foretold wrong is somebody else's, and may let anybody
// in. It is not the peer that fails the handshake there.
func TestStrangerAtForetoldPort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, b := newSide(t), newSide(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	more := make(chan []Candidate)
	var peer sync.WaitGroup
	defer peer.Wait()
	peer.Go(func() {
		for range 2 * maxFailures {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "I am somebody else")
			c.Close()
		}
		select {
		case more <- Reflexive(b.addr):
			runSide(ctx, t, b.punch(a), false)
		case <-ctx.Done():
		}
	})
	p := a.punch(b)
	p.Remote, p.More = []Candidate{{Kind: pb.Candidate_PREDICTED, Addr: l.Addr().(*net.TCPAddr).AddrPort()}}, more
	runSide(ctx, t, p, true)
	l.Close()
	if t.Failed() {
		cancel()
	}
}

// TestPeerWithoutRoom: a peer's port that resets a connection without a word may have had to make room, among strangers. It is
// one that says something else which will not have us.
func TestPeerWithoutRoom(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := newSide(t)
	var peer sync.WaitGroup
	defer peer.Wait()
	defer l.Close()
	peer.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if err := expectText(c, hello); err != nil {
				t.Error(err)
			}
			if n < 2*maxFailures {
				tcpport.Reset(c.(*net.TCPConn))
				continue
			}
			io.WriteString(c, reply)
		}
	})
	to := l.Addr().(*net.TCPAddr).AddrPort()
	a.expect.From([]netip.AddrPort{to})
	c, err := Open(t.Context(), Punch{Locals: []Local{{a.port, a.expect}}, Remote: Reflexive(to)}, shakeInitiator)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
