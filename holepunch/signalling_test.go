package holepunch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
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

// say writes what a peer says, and takes what it is told, until the returned function is called,
// which returns the last message other than a TRAILER.
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
		m.Protocols, m.Flight, m.Candidates = nil, nil, vectors()["answer"].marshal().Candidates
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
						m.Attempt, m.Protocols, m.Flight = offer.attempt[:], nil, nil
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
			m.Protocols, m.Flight = nil, nil
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

// TestRefuse: an OFFER is refused before anything is done for it.
func TestRefuse(t *testing.T) {
	t.Parallel()
	for reason, want := range map[Reason]Status{
		ErrPeerFiltered: StatusDeclined, ErrGlare: StatusGlare, ErrNoAddress: StatusNoAddress, ErrGated: StatusNoCandidate,
		ErrResourceLimit: StatusBusy, "of the application": StatusFailed,
	} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			x, y := pipe()
			heard := say(x, vector(t, "offer"))
			_, err := a.Accept(t.Context(), y, &Options{
				Refuse:    func() error { return reason },
				Started:   func() { t.Error("an attempt has started") },
				Handshake: &Handshake{Protocols: []string{"/noise"}, Run: func(context.Context, net.Conn, string, bool) error { panic("run") }},
			})
			y.Close()
			if m := heard(); m == nil || m.status != want || m.typ != pb.Message_ANSWER || m.attempt != testID {
				t.Errorf("%s: told %+v, want %s", string(reason), m, want)
			}
			if ReasonOf(err) != reason {
				t.Errorf("got %v, want %q", err, string(reason))
			}
			wantPunchError(t, err)
		})
	}
}

// TestLimitsRefuse: an OFFER too many is refused before the application's own filter is bothered.
func TestLimitsRefuse(t *testing.T) {
	for _, l := range []Limits{{PeerOffers: Rate{1, 0.001}}, {PeerAttempts: 1}, {HostAttempts: 1}} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			a.limiter = newLimiter(l)
			if err := a.limiter.offered("peer"); err != nil {
				t.Fatal(err)
			}
			b, err := a.limiter.begin("peer")
			if err != nil {
				t.Fatal(err)
			}
			defer b.end()
			x, y := pipe()
			heard := say(x, vector(t, "offer"))
			_, err = a.Accept(t.Context(), y, &Options{Peer: "peer", Refuse: func() error { t.Error("asked"); return nil }})
			y.Close()
			if m := heard(); m == nil || m.status != StatusBusy || ReasonOf(err) != ErrBusy {
				t.Errorf("told %+v, %v, want BUSY", m, err)
			}
			if l.PeerOffers == (Rate{}) {
				if _, err := a.Dial(t.Context(), y, &Options{Peer: "peer"}); ReasonOf(err) != ErrBusy {
					t.Errorf("dialled: %v, want ErrBusy", err)
				}
			}
		})
	}
}

// TestPatience: how long an attempt waits for a peer that says nothing, or too little.
func TestPatience(t *testing.T) {
	slowly := func(c io.Writer, b []byte) {
		for i := range b {
			if _, err := c.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for name, tc := range map[string]struct {
		peer func(io.ReadWriteCloser)
		want error
		in   time.Duration // at the initiator, which takes 50 ms to gather
	}{
		"silence":           {func(io.ReadWriteCloser) {}, ErrNoAnswer, answerTimeout + 50*time.Millisecond},
		"one byte a second": {func(c io.ReadWriteCloser) { slowly(c, vector(t, "offer")) }, ErrNoAnswer, answerTimeout + 50*time.Millisecond},
		"goes away":         {func(c io.ReadWriteCloser) { time.Sleep(time.Second); c.Close() }, ErrSignalLost, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, a *Agent) {
				var peers sync.WaitGroup
				defer peers.Wait()
				x, y := pipe()
				defer y.Close()
				peers.Go(func() { tc.peer(x) })
				begin := time.Now()
				_, err := a.Dial(t.Context(), y, nil)
				if took := time.Since(begin); !errors.Is(err, tc.want) || took != tc.in {
					t.Errorf("dialled: after %v: %v, want %v after %v", took, err, tc.want, tc.in)
				}
				v, w := pipe()
				defer w.Close()
				peers.Go(func() { tc.peer(v) })
				begin = time.Now()
				_, err = a.Accept(t.Context(), w, nil)
				if took := time.Since(begin); !errors.Is(err, tc.want) || took > answerTimeout {
					t.Errorf("accepted: after %v: %v, want %v", took, err, tc.want)
				}
			})
		})
	}
}

// TestNobodyReads: a peer that reads nothing holds nobody up, and is not blamed for what ends the
// wait.
func TestNobodyReads(t *testing.T) {
	for want, end := range map[error]func(*Agent, context.CancelFunc){
		context.Canceled: func(_ *Agent, cancel context.CancelFunc) { cancel() },
		ErrClosed:        func(a *Agent, _ context.CancelFunc) { go a.Close() },
	} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Second, func() { end(a, cancel) })
			x, y := net.Pipe() // without a buffer
			defer x.Close()
			defer y.Close()
			begin := time.Now()
			_, err := a.Dial(ctx, y, nil)
			if took := time.Since(begin); took != time.Second || !errors.Is(err, want) || ReasonOf(err) == ErrSignalLost {
				t.Errorf("after %v: %v, want %v after 1 s", took, err, want)
			}
		})
	}
}

// TestRefusalBeforeOffer: of an attempt that ends before it has read the OFFER the peer, which
// knows no attempt of the responder's, is told nothing.
func TestRefusalBeforeOffer(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		x, y := pipe()
		heard := say(x, nil)
		if _, err := a.Accept(ctx, y, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		y.Close()
		if m := heard(); m != nil {
			t.Errorf("told %+v, want nothing", m)
		}
	})
}

// TestContext: the end of the caller's patience ends an attempt at any stage, is in the error, and
// is told.
func TestContext(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond, time.Second} {
		for _, role := range []string{"dial", "accept"} {
			inBubble(t, 0, func(t *testing.T, a *Agent) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(after, cancel)
				x, y := pipe()
				var err error
				begin := time.Now()
				if role == "dial" {
					heard := say(x, nil)
					_, err = a.Dial(ctx, y, nil)
					y.Close()
					if m := heard(); after > 50*time.Millisecond && (m == nil || m.typ != pb.Message_DONE || m.status != StatusCancelled) {
						t.Errorf("told %+v, want CANCELLED", m)
					}
				} else {
					heard := say(x, plainOffer(t))
					_, err = a.Accept(ctx, y, nil)
					y.Close()
					if m := heard(); m == nil || m.status != StatusCancelled {
						t.Errorf("told %+v, want CANCELLED", m)
					}
				}
				if took := time.Since(begin); !errors.Is(err, context.Canceled) || took != after {
					t.Errorf("%s: after %v: %v, want context.Canceled after %v", role, took, err, after)
				}
				wantPunchError(t, err)
			})
		}
	}
}

// TestTimeout: an attempt ends in its own time, however long the caller waits.
func TestTimeout(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		a.timeout = 2 * time.Second
		x, y := pipe()
		heard := say(x, plainOffer(t))
		begin := time.Now()
		_, err := a.Accept(t.Context(), y, nil)
		y.Close()
		heard()
		if took := time.Since(begin); took != a.timeout+choiceDelay || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", took, err)
		}
		if !strings.Contains(err.Error(), "until then: no connection came up") {
			t.Errorf("%v: want what came of the punch until then", err)
		}
	})
}

// TestClose ends attempts at any stage, and none begins after it.
func TestClose(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond, time.Second} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			time.AfterFunc(after, func() { a.Close() })
			x, y := pipe()
			heard := say(x, plainOffer(t))
			_, err := a.Accept(t.Context(), y, nil)
			y.Close()
			heard()
			for range 2 {
				if ReasonOf(err) != ErrClosed || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%v: want ErrClosed", err)
				}
				wantPunchError(t, err)
				_, err = a.Dial(t.Context(), y, nil)
			}
		})
	}
}

// TestNoSocket: a host that has no socket has sent nothing, and blames no NAT. Its peer hears that
// it is busy.
func TestNoSocket(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, a *Agent) {
		x, y := pipe()
		heard := say(x, plainOffer(t))
		_, err := a.Accept(t.Context(), y, nil)
		y.Close()
		if m := heard(); m == nil || m.status != StatusBusy || ReasonOf(err) != ErrNoSocket || !errors.Is(err, tcpport.ErrShort) {
			t.Errorf("told %+v, and the error is %v", m, err)
		}
	})
}

// TestFilters: an address that the peer may not be told, or that is not to be connected to, is not.
func TestFilters(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		offer := plainOffer(t)
		for _, refusal := range []error{nil, errors.New("of the wrong country"), ErrGated} {
			x, y := pipe()
			heard := say(x, offer)
			_, err := a.Accept(t.Context(), y, &Options{FilterRemote: func(as []netip.AddrPort) ([]netip.AddrPort, error) { return nil, refusal }})
			y.Close()
			want := ErrNoCandidate
			if refusal == ErrGated {
				want = ErrGated
			}
			if m := heard(); m == nil || m.status != StatusNoCandidate || ReasonOf(err) != want || refusal != nil && !errors.Is(err, refusal) {
				t.Errorf("told %+v, %v, want %q", m, err, string(want))
			}
		}
		x, y := pipe()
		heard := say(x, offer)
		var offered Event
		_, err := a.Accept(t.Context(), y, &Options{
			FilterRemote: func(as []netip.AddrPort) ([]netip.AddrPort, error) {
				return append(as[:1:1], addrs("46.0.9.9:4001")...), nil
			},
			Trace: func(e Event) { offered = e },
		})
		y.Close()
		heard()
		if ReasonOf(err) != ErrNoConnection || len(offered.Theirs) != 1 || offered.Theirs[0] != theirs.candidates[0].Addr {
			t.Errorf("connected to %v, %v, want the first of those named", offered.Theirs, err)
		}
	})
}

var _ punch.Budget = (*budget)(nil)

// TestElsewhere: a connection by other means ends an attempt; the peer hears that all is well.
func TestElsewhere(t *testing.T) {
	listener := addrs("46.0.2.1:4001")
	for _, fails := range []bool{false, true} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			x, y := pipe()
			heard := say(x, changed(t, "offer", func(m *pb.Message) {
				m.Protocols, m.Flight, m.Candidates = nil, nil, vectors()["answer"].marshal().Candidates
				m.Candidates = append(m.Candidates, &pb.Candidate{Kind: pb.Candidate_LISTENER, Addr: addrToBytes(listener[0])})
			}))
			begin := time.Now()
			_, err := a.Accept(t.Context(), y, &Options{Elsewhere: func(_ context.Context, to []netip.AddrPort, punchable bool) error {
				if !slices.Equal(to, listener) || !punchable {
					t.Errorf("to %v, punchable %v", to, punchable)
				}
				time.Sleep(time.Second)
				if fails {
					return errors.New("connection refused")
				}
				return nil
			}})
			y.Close()
			m, took := heard(), time.Since(begin)
			want, status := ErrElsewhere, StatusOK
			if fails {
				want, status = ErrNoConnection, StatusFailed
			}
			if ReasonOf(err) != want || m == nil || m.typ != pb.Message_DONE || m.status != status || (took < 2*time.Second) == fails {
				t.Errorf("after %v: %v, told %+v, want %q", took, err, m, string(want))
			}
		})
	}
}
