package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	pbv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-msgio/pbio"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A carried pair is two peers with a relay between them that meddles.
type carried struct {
	*meddler
	dialler, listener host.Host

	mu     sync.Mutex
	events []Event // of both
}

func (m *meddler) carry(t *testing.T, servers Option, c *circuit) *carried {
	t.Helper()
	p := &carried{meddler: m}
	trace := WithTracer(func(e Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e)
	})
	p.dialler, p.listener = newPeer(t, Enable(servers, trace)), newPeer(t, Enable(servers, trace))
	reserve(t, m, p.listener)
	m.between(p.dialler, p.listener, c)
	return p
}

// connect has the dialler get a direct connection.
func (p *carried) connect(ctx context.Context) (relayed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout/2)
	defer cancel()
	if err := p.dialler.Connect(ctx, circuitInfo(p.meddler, p.listener)); err != nil {
		return false, err
	}
	_, err = DirectConnect(ctx, p.dialler, p.listener.ID())
	return true, err
}

// ended waits for the end of the attempts, and says which have no reason why they failed.
func (p *carried) ended(t *testing.T, name string) {
	t.Helper()
	p.dialler.Close()
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	open := 0
	for _, e := range p.events {
		switch {
		case e.Kind == Started:
			open++
		case e.Kind == Finished:
			open--
			if e.Err != nil && holepunch.ReasonOf(e.Err) == "" && !errors.Is(e.Err, context.Canceled) {
				t.Errorf("%s: %s attempt ended for no reason: %v", name, e.Direction, e.Err)
			}
		}
	}
	if open != 0 {
		t.Errorf("%s: %d attempts have no end", name, open)
	}
}

// TestRelayMeddles: a relay cuts the connection that it carries, or lets nothing more through, at
// every message; or it changes one, or sends it twice. The outcome is a direct connection, or a
// reason.
func TestRelayMeddles(t *testing.T) {
	t.Parallel()
	// How many chunks the two sides have to say to each other until both are connected, and
	// after which of them the relayed connection is there.
	const first, last = 2, 20
	ways := map[string]func([]byte) action{
		"cuts":    func(b []byte) action { return action{pass: b[:len(b)/2], cut: true} },
		"stalls":  func(b []byte) action { return action{pass: b[:len(b)/2], stall: true} },
		"changes": func(b []byte) action { b[len(b)-1]++; return action{pass: b} },
		"repeats": func(b []byte) action { return action{pass: slices.Repeat(b, 2)} },
	}
	m, servers := newMeddler(t), WithSTUNServers(stuntest.New(t))
	pairs := make(map[string]*carried)
	for n := first; n <= last; n++ {
		for i, way := range []string{"cuts", "stalls", "changes", "repeats"} {
			if way != "cuts" && n%3 != i%3 { // some are enough
				continue
			}
			from := (n + i) % 2
			pairs[fmt.Sprintf("%s message %d from end %d", way, n, from)] = m.carry(t, servers, &circuit{meddle: func(end, number int, chunk []byte) action {
				if end == from && number == n {
					return ways[way](chunk)
				}
				return action{pass: chunk}
			}})
		}
	}
	ctx := testContext(t)
	var mu sync.Mutex
	var direct, reasons, none int
	var all sync.WaitGroup
	places := make(chan struct{}, 16)
	for name, p := range pairs {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			relayed, err := p.connect(ctx)
			reason := holepunch.ReasonOf(err)
			mu.Lock()
			switch {
			case !relayed:
				none++
			case err == nil:
				direct++
			case reason != "":
				reasons++
			default:
				t.Errorf("%s: no direct connection, and no reason: %v", name, err)
			}
			mu.Unlock()
			p.ended(t, name)
			t.Logf("%s: relayed %v, %v", name, relayed, err)
		})
	}
	all.Wait()
	t.Logf("of %d: %d direct, %d with a reason, %d not even relayed", len(pairs), direct, reasons, none)
	if direct == 0 || reasons == 0 {
		t.Error("this test shows nothing")
	}
}

// TestRelayDelays: a relay that is slow in one direction delays the direct connection, and no more.
func TestRelayDelays(t *testing.T) {
	t.Parallel()
	const slow = time.Second // a swarm gives a relayed connection 5 s, if the relay is at a local address
	m, servers := newMeddler(t), WithSTUNServers(stuntest.New(t))
	var all sync.WaitGroup
	for name, delay := range map[string][2]time.Duration{
		"what the dialler says":  {slow, 0},
		"what the listener says": {0, slow},
	} {
		p := m.carry(t, servers, &circuit{delay: delay})
		ctx := testContext(t)
		all.Go(func() {
			if _, err := p.connect(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if c := relayedConn(p.dialler, p.listener.ID()); c == nil {
				t.Errorf("%s: the relayed connection is gone", name)
			} else if err := pingOver(ctx, c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			p.ended(t, name)
		})
	}
	all.Wait()
}

// TestRelayReplays: what a relay has carried means nothing on another connection, whichever of the
// peers it plays.
func TestRelayReplays(t *testing.T) {
	t.Parallel()
	m := newMeddler(t)
	var mu sync.Mutex
	var said [2][][]byte
	p := m.carry(t, WithSTUNServers(stuntest.New(t)), &circuit{meddle: func(from, _ int, chunk []byte) action {
		mu.Lock()
		defer mu.Unlock()
		said[from] = append(said[from], bytes.Clone(chunk))
		return action{pass: chunk}
	}})
	ctx := testContext(t)
	if _, err := p.connect(ctx); err != nil {
		t.Fatal(err)
	}
	p.dialler.Network().ClosePeer(p.listener.ID())
	waitFor(t, "the end of the connections", func() bool { return len(p.listener.Network().ConnsToPeer(p.dialler.ID())) == 0 })
	mu.Lock()
	heard := said
	mu.Unlock()

	s := m.playDialler(t, p)
	for _, chunk := range heard[0] {
		s.Write(chunk)
	}
	io.Copy(io.Discard, s) // until the listener has had enough
	if n := len(p.listener.Network().ConnsToPeer(p.dialler.ID())); n > 0 {
		t.Errorf("the listener has %d connections to what the dialler has said once", n)
	}

	m.between(p.dialler, p.listener, &circuit{meddle: func(from, n int, chunk []byte) action {
		if from == 0 {
			return action{pass: chunk}
		}
		return action{pass: heard[1][n]}
	}})
	relayed, err := p.connect(ctx)
	if relayed || err == nil {
		t.Error("the dialler is connected to what the listener has said once")
	}
	t.Log(err)
}

// TestRelayInTheMiddle: a relay that ends the connections itself, with a key of its own, is neither
// of the peers.
func TestRelayInTheMiddle(t *testing.T) {
	t.Parallel()
	m := newMeddler(t)
	us, parts := newParts(t, nil, true, noise.ID, libp2ptls.ID)
	own, err := upgrader.New(parts.Security, parts.Muxers, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	var impostor sync.WaitGroup
	defer impostor.Wait()
	p := m.carry(t, WithSTUNServers(stuntest.New(t)), &circuit{impostor: func(c net.Conn) {
		impostor.Go(func() {
			defer c.Close()
			var hello pbv2.StopMessage
			if err := pbio.NewDelimitedReader(c, 4096).ReadMsg(&hello); err != nil {
				t.Error(err)
			}
			pbio.NewDelimitedWriter(c).WriteMsg(&pbv2.StopMessage{Type: pbv2.StopMessage_STATUS.Enum(), Status: pbv2.Status_OK.Enum()})
			conn, err := own.Upgrade(ctx, nil, plain{c}, network.DirInbound, "", &network.NullScope{})
			if err == nil {
				conn.Close()
				t.Error("the relay is taken for the listener")
			}
		})
	}})
	relayed, err := p.connect(ctx)
	if relayed || err == nil {
		t.Error("the dialler is connected to the relay's own key")
	}
	t.Log(err)

	conn, err := own.Upgrade(ctx, nil, plain{streamConn{m.playDialler(t, p)}}, network.DirOutbound, p.listener.ID(), &network.NullScope{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	waitFor(t, "the relay's connection", func() bool { return len(p.listener.Network().ConnsToPeer(us)) == 1 })
	if n := len(p.listener.Network().ConnsToPeer(p.dialler.ID())); n > 0 {
		t.Errorf("the listener has %d connections to the dialler", n)
	}
}

// playDialler opens a circuit to the listener in the dialler's name.
func (m *meddler) playDialler(t *testing.T, p *carried) network.Stream {
	t.Helper()
	s, err := m.Host.NewStream(testContext(t), p.listener.ID(), proto.ProtoIDv2Stop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset() })
	s.SetDeadline(time.Now().Add(testTimeout / 2))
	id := []byte(p.dialler.ID())
	pbio.NewDelimitedWriter(s).WriteMsg(&pbv2.StopMessage{Type: pbv2.StopMessage_CONNECT.Enum(), Peer: &pbv2.Peer{Id: id}})
	var answer pbv2.StopMessage
	if err := pbio.NewDelimitedReader(s, 4096).ReadMsg(&answer); err != nil || answer.GetStatus() != pbv2.Status_OK {
		t.Fatalf("%v, %v", &answer, err)
	}
	return s
}

// TestOldOffer: an OFFER that is sent again, on streams of its own, is an attempt like any other.
func TestOldOffer(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	finished := make(chan error, 10)
	victim := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithTracer(func(e Event) {
		if e.Kind == Finished {
			finished <- e.Err
		}
	})))
	attacker := newPeer(t)
	relayed := connectRelayed(t, relay, victim, attacker)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	came := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			came <- struct{}{}
		}
	}()
	offer := newOffer(newCandidate(pb.Candidate_REFLEXIVE, l.Addr().String()))
	var streams []network.Stream
	for range 3 { // the later ones while the first is under way
		s, answer := sendRaw(t, attacker, victim.ID(), offer)
		if answer.Status != pb.Status_OK {
			t.Fatalf("answered %v", answer)
		}
		streams = append(streams, s)
		<-came
	}
	for _, s := range streams {
		pbio.NewDelimitedWriter(s).WriteMsg(&pb.Message{Type: pb.Message_DONE, Attempt: offer.Attempt, Status: pb.Status_FAILED})
		if err := <-finished; holepunch.ReasonOf(err) == "" {
			t.Errorf("an attempt ended with %v, want a reason", err)
		}
	}
	wantUntouched(t, relayed)
	if directConn(victim, attacker.ID()) != nil {
		t.Error("a direct connection to nobody")
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout / 2); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
