package holepunch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// TestPatience: how long an attempt waits for a peer that sends nothing, or too little.
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

// TestNobodyReads: a peer that reads nothing delays nothing, and is not blamed for what ends the
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

// TestContext: the end of the caller's context ends an attempt at any stage, is in the error, and
// is reported to the peer.
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

// TestTimeout: an attempt ends in its own time, however long the caller waits, and before that if
// no connection came up.
func TestTimeout(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		a.timeout = 3 * time.Second
		x, y := pipe()
		heard := say(x, plainOffer(t))
		begin := time.Now()
		_, err := a.Accept(t.Context(), y, nil)
		y.Close()
		heard()
		whole := a.timeout + choiceDelay
		if took := time.Since(begin); took < roundWindow(whole) || took >= whole || ReasonOf(err) != ErrNoConnection {
			t.Errorf("after %v: %v, which is %q", took, err, ReasonOf(err))
		}
	})
}

// TestDeadline: an attempt that the caller's deadline ends has the reason that the punch had until
// then.
func TestDeadline(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, a *Agent) {
		x, y := pipe()
		heard := say(x, plainOffer(t))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := a.Accept(ctx, y, nil)
		y.Close()
		heard()
		if took := time.Since(begin); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || ReasonOf(err) != ErrNoConnection {
			t.Errorf("after %v: %v, which is %q", took, err, ReasonOf(err))
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

// TestElsewhere: a connection by other means ends an attempt; the peer hears that all is well.
func TestElsewhere(t *testing.T) {
	listener := addrs("46.0.2.1:4001")
	for _, fails := range []bool{false, true} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			x, y := pipe()
			heard := say(x, changed(t, "offer", func(m *pb.Message) {
				m.Protocols, m.Candidates = nil, vectors()["answer"].marshal().Candidates
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
