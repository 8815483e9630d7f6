package holepunch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

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

// TestRefusalBeforeOffer: if a responder's attempt ends before it has read the OFFER, the peer,
// which knows no attempt of the responder's, gets no message.
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

// TestFilters: an address that a filter excludes is not disclosed to the peer, or not connected to.
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

// TestTwoInitiators: if both sides of a stream initiate, both calls end with ErrGlare, also if the
// one's OFFER comes while the other one gathers.
func TestTwoInitiators(t *testing.T) {
	for _, later := range []time.Duration{0, time.Millisecond, time.Second} {
		inBubble(t, 0, func(t *testing.T, a *Agent) {
			x, y := pipe()
			errs := make(chan error)
			for _, s := range []struct {
				end  *pipeEnd
				wait time.Duration
			}{{x, 0}, {y, later}} {
				go func() {
					time.Sleep(s.wait)
					_, err := a.Dial(t.Context(), s.end, nil)
					s.end.Close()
					errs <- err
				}()
			}
			for range 2 {
				if err := <-errs; ReasonOf(err) != ErrGlare {
					t.Errorf("the second one %v later: %v, want ErrGlare", later, err)
				}
			}
		})
	}
}
