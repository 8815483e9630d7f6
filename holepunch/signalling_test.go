package holepunch

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// inBubble runs a test in a bubble, with an agent that has no sockets. Nothing may be left of its
// attempts in the end.
func inBubble(t *testing.T, kind byte, f func(t *testing.T, a *Agent)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{T: t, kind: kind}
		a := h.agent()
		f(t, a)
		a.Close()
		h.check(a)
	})
}

// say writes the peer's messages, and reads those to the peer, until the returned function is
// called. That function returns the last message read other than a TRAILER.
func say(s io.ReadWriteCloser, b []byte) (heard func() *message) {
	last := make(chan *message)
	go func() {
		r := newReader(s)
		var m *message
		for {
			n, err := readMessage(r)
			if err != nil {
				last <- m
				return
			}
			if n.typ != pb.Message_TRAILER {
				m = n
			}
		}
	}()
	s.Write(b)
	return func() *message {
		s.Close()
		return <-last
	}
}

// plainOffer returns the bytes of an OFFER of the other side without a handshake.
func plainOffer(t *testing.T) []byte {
	return changed(t, "offer", func(m *pb.Message) {
		m.Protocols, m.Candidates = nil, vectors()["answer"].marshal().Candidates
	})
}

// TestBadOffer: it is refused, and leaves nothing behind.
func TestBadOffer(t *testing.T) {
	good := vector(t, "offer")
	bad := map[string][]byte{
		"truncated":      good[:len(good)-3],
		"too long":       raw(make([]byte, maxMessage+1)),
		"endless length": bytes.Repeat([]byte{0xff}, 20),
		"no protobuf":    raw([]byte("GET / HTTP/1.1\r\n\r\n")),
		"begins ANSWER":  vector(t, "answer"),
		"begins DONE":    vector(t, "done"),
		"no type":        changed(t, "offer", func(m *pb.Message) { m.Type = 0 }),
	}
	for name, change := range badMessages {
		bad[name] = changed(t, "offer", change)
	}
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, a *Agent) {
				x, y := pipe()
				if name == "truncated" {
					time.AfterFunc(time.Second, func() { x.Close() })
				}
				heard := say(x, b)
				_, err := a.Accept(t.Context(), y, nil)
				y.Close()
				m := heard()
				var punch *PunchError
				if !errors.Is(err, ErrMalformed) || !errors.As(err, &punch) || punch.Op != "receive" {
					t.Errorf("got %v, want ErrMalformed", err)
				}
				if name != "truncated" && (m == nil || m.typ != pb.Message_ANSWER || m.status != StatusMalformed) {
					t.Errorf("told %+v, want an ANSWER MALFORMED", m)
				}
			})
		})
	}
}

// TestBadAnswer: it ends the attempt, and leaves nothing behind.
func TestBadAnswer(t *testing.T) {
	for name, change := range badMessages {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, a *Agent) {
				x, y := pipe()
				go func() {
					offer, err := readMessage(newReader(x))
					if err != nil {
						t.Error(err)
					}
					x.Write(changed(t, "answer", func(m *pb.Message) {
						m.Attempt, m.Protocols = offer.attempt[:], nil
						change(m)
					}))
				}()
				_, err := a.Dial(t.Context(), y, nil)
				wantPunchError(t, err)
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("got %v, want ErrMalformed", err)
				}
			})
		})
	}
}

// TestSameTokenTwice: tokens are the peer's own business; one that gives the same to two attempts
// has two attempts, and nothing is left of either.
func TestSameTokenTwice(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		ends := make(chan error, 2)
		for range 2 {
			x, y := pipe()
			heard := say(x, plainOffer(t))
			go func() {
				_, err := a.Accept(t.Context(), y, nil)
				y.Close()
				if m := heard(); m == nil || m.typ != pb.Message_DONE {
					t.Errorf("told %+v, want DONE after an ANSWER", m)
				}
				ends <- err
			}()
		}
		for range 2 {
			if err := <-ends; ReasonOf(err) != ErrNoConnection {
				t.Errorf("got %v, want ErrNoConnection", err)
			}
		}
	})
}

// TestUnknownIsIgnored: what a later version may send is left out, not refused.
func TestUnknownIsIgnored(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		x, y := pipe()
		b := changed(t, "offer", func(m *pb.Message) {
			m.Protocols = nil
			m.Candidates = append(m.Candidates,
				&pb.Candidate{Kind: 77, Addr: m.Candidates[0].Addr},
				&pb.Candidate{Kind: pb.Candidate_REFLEXIVE, Addr: []byte{0xff}},
				&pb.Candidate{Kind: pb.Candidate_REFLEXIVE})
			for i := range m.Candidates[:2] {
				m.Candidates[i].Addr = addrToBytes(theirs.candidates[i].Addr)
			}
		})
		var offered Event
		heard := say(x, b)
		_, err := a.Accept(t.Context(), y, &Options{Trace: func(e Event) { offered = e }})
		y.Close()
		heard()
		if ReasonOf(err) != ErrNoConnection || len(offered.Theirs) != 2 {
			t.Errorf("got %v for the candidates %v", err, offered.Theirs)
		}
	})
}

// A writeCounter counts the writes of one end of a pipe.
type writeCounter struct {
	*pipeEnd
	writes atomic.Int32
}

func (c *writeCounter) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.pipeEnd.Write(b)
}

// TestOneWrite: a message is one write, and so one packet on most streams.
func TestOneWrite(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		x, y := pipe()
		heard := say(x, vector(t, "done")) // no OFFER, so it is refused
		counted := &writeCounter{pipeEnd: y}
		if _, err := a.Accept(t.Context(), counted, nil); !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
		y.Close()
		if m, n := heard(), counted.writes.Load(); m == nil || n != 1 {
			t.Errorf("%d writes for %+v, want one", n, m)
		}
	})
}
