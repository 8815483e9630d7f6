package transport

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio/pbio"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestNobodyIsScanned: a peer that names another host's address learns only that there is no
// connection, in the same words as if there were no host, in either role.
func TestNobodyIsScanned(t *testing.T) {
	t.Parallel()
	brief := WithTimeout(briefTimeout)
	// outcome reads what the victim says until it says how the attempt ended.
	outcome := func(t *testing.T, s network.Stream) *pb.Message {
		r := pbio.NewDelimitedReader(s, 4096)
		for {
			var m pb.Message
			if err := r.ReadMsg(&m); err != nil {
				t.Errorf("the victim did not tell how it ended: %v", err)
				return &m
			}
			if m.Type == pb.Message_DONE {
				return &m
			}
		}
	}
	want := func(t *testing.T, m *pb.Message) {
		t.Helper()
		if m.Status != pb.Status_FAILED || m.Detail != holepunch.ErrNoConnection.Error() {
			t.Errorf("it said %s, %q; want %s, %q, as where nobody is", m.Status, m.Detail, pb.Status_FAILED, holepunch.ErrNoConnection.Error())
		}
	}
	t.Run("as responder", func(t *testing.T) {
		t.Parallel()
		named, came := newBystander(t)
		relay := newRelay(t)
		victim, attacker := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), brief)), newPeer(t)
		connectRelayed(t, relay, victim, attacker)
		s, _ := sendRaw(t, attacker, victim.ID(), newOffer(named))
		want(t, outcome(t, s))
		<-came
	})
	t.Run("as initiator", func(t *testing.T) {
		t.Parallel()
		named, came := newBystander(t)
		answered := make(chan *pb.Message, 1)
		_, dialler, _, peer := hostile(t, func(s network.Stream) {
			defer s.Close()
			s.SetDeadline(time.Now().Add(testTimeout / 2))
			var m pb.Message
			if err := pbio.NewDelimitedReader(s, 4096).ReadMsg(&m); err != nil {
				return
			}
			pbio.NewDelimitedWriter(s).WriteMsg(newAnswer(&m, named))
			end := outcome(t, s)
			select {
			case answered <- end:
			default:
			}
		}, brief)
		if _, err := DirectConnect(testContext(t), dialler, peer.ID()); err == nil {
			t.Error("connected to nobody")
		}
		want(t, <-answered)
		<-came
	})
}

// newBystander serves something else than libp2p. It returns the address as a candidate, and a
// channel that gets a value when somebody has come.
func newBystander(t *testing.T) (named *pb.Candidate, came <-chan struct{}) {
	t.Helper()
	service, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	visits := make(chan struct{}, 1)
	go func() {
		for {
			c, err := service.Accept()
			if err != nil {
				return
			}
			select {
			case visits <- struct{}{}:
			default:
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "\x05hello") // which is no multistream-select
				io.Copy(io.Discard, c)         // until the other end has had enough
			}()
		}
	}()
	return newCandidate(pb.Candidate_REFLEXIVE, service.Addr().String()), visits
}
