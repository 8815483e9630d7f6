package transport

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// A responder connects to the listener that an OFFER names, and to nothing else that it
// was told of that peer.
func TestDialBackDoesNotScan(t *testing.T) {
	elsewhere, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	scanned := make(chan struct{})
	go func() {
		if c, err := elsewhere.Accept(); err == nil {
			c.Close()
			close(scanned)
		}
	}()
	named, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()

	relay := newRelay(t)
	finished := make(chan struct{}, 1)
	victim := newPeer(t, Enable(WithSTUNServers(newSTUNServer(t)), WithTracer(func(e Event) {
		if e.Kind == Finished {
			finished <- struct{}{}
		}
	})))
	told := ma.StringCast("/ip4/127.0.0.1/tcp/" + itoa(uint16(elsewhere.Addr().(*net.TCPAddr).Port)))
	attacker := newPeer(t, libp2p.AddrsFactory(func(as []ma.Multiaddr) []ma.Multiaddr { return append(slices.Clone(as), told) }))
	connectRelayed(t, relay, victim, attacker)
	victim.Peerstore().AddAddr(attacker.ID(), told, time.Hour) // identify may be late, or choosy
	ctx := testContext(t)
	s, err := openRaw(ctx, attacker, victim.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	offer := newOffer(newCandidate(pb.Candidate_LISTENER, named.Addr().String()))
	w := pbio.NewDelimitedWriter(s)
	if err := w.WriteMsg(offer); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { named.Close() })
	defer stop()
	c, err := named.Accept()
	if err != nil {
		t.Fatalf("the listener was not connected to: %v", err)
	}
	c.Close()
	if err := w.WriteMsg(&pb.Message{Type: pb.Message_DONE, Attempt: offer.Attempt, Status: pb.Status_FAILED}); err != nil {
		t.Fatal(err)
	}
	<-finished
	select {
	case <-scanned:
		t.Error("connected to an address that the peer named elsewhere")
	default:
	}
}
