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

	"github.com/libp2p/go-msgio/pbio"
	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

var (
	ours   = Terms{Candidates: Reflexive(addrs("46.0.1.1:40000", "[2a00::1]:40000")...)}
	theirs = Terms{Candidates: []Candidate{
		{Kind: pb.Candidate_REFLEXIVE, Addr: netip.MustParseAddrPort("46.0.2.1:50000")},
		{Kind: pb.Candidate_REFLEXIVE, Addr: netip.MustParseAddrPort("46.0.2.1:50001"), Local: 1},
	}, Security: []string{"/noise", "/tls/1.0.0"}}
)

func TestOfferAndAnswer(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	target := netip.MustParseAddrPort("46.0.2.1:4001")
	type responder struct {
		offer *Received
		done  error
	}
	got := make(chan responder)
	go func() {
		offer, err := Receive(t.Context(), b)
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		if err := offer.Answer(0, theirs); err != nil {
			t.Error(err)
		}
		news, err := offer.Next(t.Context())
		if err != nil || news.Type != pb.Message_DONE {
			t.Errorf("got %+v, %v, want DONE", news, err)
		}
		got <- responder{offer, news.Err}
	}()
	sig, answer, err := Offer(t.Context(), a, ours, target)
	if err != nil {
		t.Fatal(err)
	}
	sig.Done(&PunchError{Op: "open", Err: ErrNoConnection}, "no connection")
	r := <-got
	if !slices.Equal(answer.Candidates, theirs.Candidates) {
		t.Errorf("ANSWER has %v, want %v", answer, theirs)
	}
	if !slices.Equal(r.offer.Terms.Candidates, ours.Candidates) || r.offer.Target != target || r.offer.Request {
		t.Errorf("OFFER has %v for %v, want %v for %v", r.offer.Terms.Candidates, r.offer.Target, ours, target)
	}
	var remote *RemoteError
	if !errors.As(r.done, &remote) || remote.Status != pb.Status_FAILED || !strings.Contains(remote.Detail, "no connection") {
		t.Errorf("DONE says %v, want FAILED with the reason", r.done)
	}
}

func TestDoneStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want pb.Status
	}{
		"success":   {nil, pb.Status_OK},
		"cancelled": {&PunchError{Op: "open", Err: context.Canceled}, pb.Status_CANCELLED},
		"timeout":   {&PunchError{Op: "open", Err: ErrNoConnection}, pb.Status_FAILED},
		"address":   {ErrNoAddress, pb.Status_NO_ADDRESS},
		"candidate": {ErrNoCandidate, pb.Status_NO_CANDIDATE},
		"busy":      {ErrBusy, pb.Status_BUSY},
		"refusal":   {&RemoteError{Status: pb.Status_NO_ADDRESS}, pb.Status_NO_ADDRESS},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe()
			defer a.Close()
			defer b.Close()
			go newSignal(a).Done(tc.err, "")
			news, err := newSignal(b).Next(t.Context())
			if err == nil {
				err = news.Err
			}
			var remote *RemoteError
			if errors.As(err, &remote); tc.want != pb.Status_OK && (remote == nil || remote.Status != tc.want) || tc.want == pb.Status_OK && err != nil {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		r, err := Receive(t.Context(), b)
		if err != nil || !r.Request {
			t.Errorf("received %+v, %v, want a REQUEST", r, err)
			return
		}
		r.Done(&PunchError{Op: "open", Err: ErrNoConnection}, "")
	}()
	var remote *RemoteError
	if err := Request(t.Context(), a); !errors.As(err, &remote) || remote.Status != pb.Status_FAILED {
		t.Fatalf("got %v, want the initiator's failure", err)
	}
}

func TestRequestIsRefused(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		if r, err := Receive(t.Context(), b); err != nil {
			t.Error(err)
		} else {
			r.Refuse(pb.Status_BUSY, "")
		}
	}()
	if err := Request(t.Context(), a); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestRefusal(t *testing.T) {
	for status, want := range map[pb.Status]error{
		pb.Status_BUSY:         ErrBusy,
		pb.Status_DECLINED:     ErrDeclined,
		pb.Status_NO_ADDRESS:   ErrNoAddress,
		pb.Status_NO_CANDIDATE: ErrNoCandidate,
		pb.Status_MALFORMED:    ErrMalformed,
	} {
		t.Run(status.String(), func(t *testing.T) {
			a, b := pipe()
			defer a.Close()
			defer b.Close()
			go func() {
				r, err := Receive(t.Context(), b)
				if err != nil {
					t.Error(err)
					return
				}
				r.Refuse(status, strings.Repeat("long words ", 100))
			}()
			_, _, err := Offer(t.Context(), a, ours, netip.AddrPort{})
			var punch *PunchError
			var remote *RemoteError
			if !errors.Is(err, want) || !errors.As(err, &punch) || !errors.As(err, &remote) || len(remote.Detail) > maxDetail {
				t.Fatalf("got %v, want %v as PunchError and RemoteError", err, want)
			}
		})
	}
}

// raw frames what a hostile peer may send.
func raw(b []byte) []byte { return append(varint.ToUvarint(uint64(len(b))), b...) }

func offerBytes(t testing.TB, change func(*pb.Message)) []byte {
	m := (&message{typ: pb.Message_OFFER, terms: ours}).marshal()
	change(m)
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBadOffer(t *testing.T) {
	good := raw(offerBytes(t, func(*pb.Message) {}))
	for name, tc := range map[string]struct {
		bytes []byte
		want  error
	}{
		"nothing":        {nil, ErrSignalLost},
		"truncated":      {good[:len(good)-3], ErrMalformed},
		"too long":       {raw(make([]byte, maxMessage+1)), ErrMalformed},
		"endless length": {bytes.Repeat([]byte{0xff}, 20), ErrMalformed},
		"no protobuf":    {raw([]byte("GET / HTTP/1.1\r\n\r\n")), ErrMalformed},
		"nine candidates": {raw(offerBytes(t, func(m *pb.Message) {
			for range MaxCandidates {
				m.Candidates = append(m.Candidates, m.Candidates[0])
			}
		})), ErrMalformed},
		"10,000 candidates": {raw(offerBytes(t, func(m *pb.Message) {
			for range 10000 {
				m.Candidates = append(m.Candidates, m.Candidates[0])
			}
		})), ErrMalformed},
		"no attempt":    {raw(offerBytes(t, func(m *pb.Message) { m.Attempt = nil })), ErrMalformed},
		"long attempt":  {raw(offerBytes(t, func(m *pb.Message) { m.Attempt = make([]byte, 17) })), ErrMalformed},
		"begins ANSWER": {raw(offerBytes(t, func(m *pb.Message) { m.Type = pb.Message_ANSWER })), ErrMalformed},
		"no type":       {raw(offerBytes(t, func(m *pb.Message) { m.Type = 0 })), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe()
			go func() {
				go io.Copy(io.Discard, a) // takes the refusal
				a.Write(tc.bytes)
				if tc.want == ErrSignalLost || name == "truncated" {
					a.Close()
				}
			}()
			defer a.Close()
			defer b.Close()
			_, err := Receive(t.Context(), b)
			var punch *PunchError
			if !errors.Is(err, tc.want) || !errors.As(err, &punch) || punch.Op != "receive" {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// What a later version may send is left out, not refused.
func TestUnknownIsIgnored(t *testing.T) {
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	m := offerBytes(t, func(m *pb.Message) {
		m.Candidates = append(m.Candidates,
			&pb.Candidate{Kind: 77, Addr: m.Candidates[0].Addr},
			&pb.Candidate{Kind: pb.Candidate_REFLEXIVE, Addr: []byte{0xff}},
			&pb.Candidate{Kind: pb.Candidate_REFLEXIVE})
	})
	m = append(m, 0xfa, 0x3f, 3, 'n', 'e', 'w') // field 1023
	go a.Write(raw(m))
	r, err := Receive(t.Context(), b)
	if err != nil || !slices.Equal(r.Terms.Candidates, ours.Candidates) {
		t.Fatalf("got %v, %v, want %v", r, err, ours)
	}
}

func TestOfferWithoutAnswer(t *testing.T) {
	t.Run("peer goes away", func(t *testing.T) {
		a, b := pipe()
		go func() {
			io.CopyN(io.Discard, b, 20)
			b.Close()
		}()
		if _, _, err := Offer(t.Context(), a, ours, netip.AddrPort{}); !errors.Is(err, ErrSignalLost) {
			t.Fatalf("got %v, want ErrSignalLost", err)
		}
	})
	t.Run("answer of another attempt", func(t *testing.T) {
		a, b := pipe()
		defer b.Close()
		go func() {
			go io.Copy(io.Discard, b)
			pbio.NewDelimitedWriter(b).WriteMsg((&message{typ: pb.Message_ANSWER, attempt: attemptID{1}}).marshal())
		}()
		if _, _, err := Offer(t.Context(), a, ours, netip.AddrPort{}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("got %v, want ErrMalformed", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			defer b.Close()
			go io.Copy(io.Discard, b)
			begin := time.Now()
			_, _, err := Offer(t.Context(), a, ours, netip.AddrPort{})
			if !errors.Is(err, ErrNoAnswer) || errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != AnswerTimeout {
				t.Fatalf("after %v: %v, want a timeout after %v", time.Since(begin), err, AnswerTimeout)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			defer b.Close()
			go io.Copy(io.Discard, b)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, _, err := Offer(ctx, a, ours, netip.AddrPort{}); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want context.Canceled", err)
			}
		})
	})
	t.Run("one byte a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			defer a.Close()
			var slow sync.WaitGroup
			defer slow.Wait()
			defer b.Close()
			slow.Go(func() {
				for _, c := range raw(offerBytes(t, func(*pb.Message) {})) {
					if _, err := a.Write([]byte{c}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			if _, err := Receive(t.Context(), b); !errors.Is(err, ErrNoAnswer) {
				t.Fatalf("got %v, want a timeout", err)
			}
		})
	})
}

// TestNobodyReads: a peer that reads nothing holds nobody up.
func TestNobodyReads(t *testing.T) {
	for name, say := range map[string]func(*Signal){
		"CROSS":      (*Signal).Cross,
		"CANDIDATES": func(s *Signal) { s.More(ours.Candidates) },
		"ANSWER":     func(s *Signal) { s.Answer(0, ours) },
		"RETRY":      func(s *Signal) { s.Retry(1, ours) },
		"a refusal":  func(s *Signal) { s.Refuse(pb.Status_BUSY, "") },
		"DONE":       func(s *Signal) { s.Done(nil, "") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe() // no buffer
				defer a.Close()
				defer b.Close()
				begin := time.Now()
				time.AfterFunc(time.Minute, func() { b.Close() })
				say(newSignal(a))
				if took := time.Since(begin); took > AnswerTimeout {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestUnknownStatus: a status that a later version knows is a failure.
func TestUnknownStatus(t *testing.T) {
	if got := ReasonOf(&PunchError{Op: "offer", Err: &RemoteError{Status: 15}}); got != ErrNoConnection {
		t.Errorf("got %q, want %q", got, ErrNoConnection)
	}
}
