package holepunch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// testTimeout ends a test that waits for what does not come. It is far more than any test needs on
// a slow machine.
const testTimeout = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func newAgent(t testing.TB, c Config) *Agent {
	t.Helper()
	a, err := NewAgent(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// newPair returns two agents that know their addresses on loopback.
func newPair(t testing.TB) (initiator, responder *Agent) {
	server := stuntest.New(t)
	return newAgent(t, Config{STUNServers: []string{server}}), newAgent(t, Config{STUNServers: []string{server}})
}

// A side is what one side has of an attempt.
type side struct {
	conn *Conn
	err  error
}

// attemptBoth has two agents make an attempt with each other.
func attemptBoth(t testing.TB, initiator, responder *Agent, di, da *Options) (dialled, accepted side) {
	t.Helper()
	ctx := testContext(t)
	a, b := pipe()
	defer a.Close()
	defer b.Close()
	var both sync.WaitGroup
	both.Go(func() {
		if dialled.conn, dialled.err = initiator.Dial(ctx, a, di); dialled.err != nil {
			a.Close()
		}
	})
	both.Go(func() {
		if accepted.conn, accepted.err = responder.Accept(ctx, b, da); accepted.err != nil {
			b.Close()
		}
	})
	both.Wait()
	for _, s := range []side{dialled, accepted} {
		if s.conn != nil {
			t.Cleanup(func() { s.conn.Close() })
		}
	}
	return dialled, accepted
}

// wantTalk checks that two connections are the two ends of one.
func wantTalk(t testing.TB, a, b net.Conn) {
	t.Helper()
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(testTimeout))
	}
	for _, dir := range []struct{ from, to net.Conn }{{a, b}, {b, a}} {
		want := []byte("does this get there?")
		if _, err := dir.from.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(dir.to, got); err != nil || string(got) != string(want) {
			t.Fatalf("read %q, %v, want %q", got, err, want)
		}
	}
}

func TestAttempt(t *testing.T) {
	t.Parallel()
	i, r := newPair(t)
	var kinds struct {
		sync.Mutex
		of []EventKind
	}
	trace := func(e Event) {
		kinds.Lock()
		defer kinds.Unlock()
		kinds.of = append(kinds.of, e.Kind)
	}
	dialled, accepted := attemptBoth(t, i, r, &Options{Trace: trace}, nil)
	if dialled.err != nil || accepted.err != nil {
		t.Fatal(dialled.err, accepted.err)
	}
	wantTalk(t, dialled.conn, accepted.conn)
	for _, c := range []*Conn{dialled.conn, accepted.conn} {
		c.AwaitChoice(context.Background())
		if c.TCPConn() == nil {
			t.Error("there is no TCP connection after the choice")
		}
	}
	kinds.Lock()
	defer kinds.Unlock()
	// Where the direct path is the shorter one, a connection is accepted before the ANSWER is read.
	if !slices.Contains(kinds.of, Offered) || !slices.Contains(kinds.of, Chosen) {
		t.Errorf("traced %q, want %q and %q", kinds.of, Offered, Chosen)
	}
}

// tlsHandshake does TLS under several names.
type tlsHandshake struct {
	mu   sync.Mutex
	runs []string
	conn *tls.Conn
}

func (h *tlsHandshake) run(ctx context.Context, c net.Conn, protocol string, initiator bool) error {
	conn := tls.Server(c, serverTLS())
	if initiator {
		conn = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs, h.conn = append(h.runs, protocol), conn
	return conn.HandshakeContext(ctx)
}

func (h *tlsHandshake) options(protocols ...string) *Options {
	return &Options{Handshake: &Handshake{Protocols: protocols, Run: h.run}}
}

var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
})

func TestHandshake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		offers, has []string
		runs        []string // of the initiator
	}{
		"in the signalling":   {[]string{"a", "b"}, []string{"b", "a"}, []string{"a"}},
		"another one":         {[]string{"a", "b"}, []string{"c", "b"}, []string{"a", "b"}},
		"the only one of two": {[]string{"b"}, []string{"a", "b"}, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, r := newPair(t)
			client, server := new(tlsHandshake), new(tlsHandshake)
			dialled, accepted := attemptBoth(t, i, r, client.options(tc.offers...), server.options(tc.has...))
			if dialled.err != nil || accepted.err != nil {
				t.Fatal(dialled.err, accepted.err)
			}
			wantTalk(t, client.conn, server.conn)
			accepted.conn.AwaitChoice(context.Background())
			if !slices.Equal(client.runs, tc.runs) || !slices.Equal(server.runs, tc.runs[len(tc.runs)-1:]) {
				t.Errorf("the handshakes %q and %q were run, want %q and the last of them", client.runs, server.runs, tc.runs)
			}
		})
	}
}

// script is a handshake that writes and reads so many bytes in turn, the initiator first.
type script []int

func (s script) run(_ context.Context, c net.Conn, _ string, initiator bool) error {
	for i, n := range s {
		b := make([]byte, n)
		if (i%2 == 0) != initiator {
			if _, err := io.ReadFull(c, b); err != nil {
				return err
			}
			for _, x := range b {
				if x != byte(i) {
					return fmt.Errorf("flight %d has other bytes", i)
				}
			}
			continue
		}
		for j := range b {
			b[j] = byte(i)
		}
		for len(b) > 0 { // in several pieces
			k := min(len(b), 1000)
			if _, err := c.Write(b[:k]); err != nil {
				return err
			}
			b = b[k:]
		}
	}
	return nil
}

// TestFlights: whatever is written and read, and in whatever pieces, arrives once and in order.
func TestFlights(t *testing.T) {
	t.Parallel()
	for _, s := range []script{
		{}, {0}, {1}, {10, 10}, {10, 10, 10}, {10, 10, 10, 10, 10},
		{0, 10, 10},                      // the responder begins
		{maxFlight, maxFlight, 10},       // just within the bound
		{maxFlight + 1, 10, 10},          // the first is too long
		{10, maxFlight + 1, 10},          // the second is
		{20_000, 20_000, 20_000, 20_000}, // all are
	} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			i, r := newPair(t)
			o := &Options{Handshake: &Handshake{Protocols: []string{"script"}, Run: s.run}}
			dialled, accepted := attemptBoth(t, i, r, o, o)
			if dialled.err != nil || accepted.err != nil {
				t.Fatal(dialled.err, accepted.err)
			}
			wantTalk(t, dialled.conn, accepted.conn)
		})
	}
}

// A wrapped connection inverts what runs over TCP.
type inverted struct{ net.Conn }

func (c inverted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for i := range b[:n] {
		b[i] ^= 0xff
	}
	return n, err
}

func (c inverted) Write(b []byte) (int, error) {
	b = slices.Clone(b)
	for i := range b {
		b[i] ^= 0xff
	}
	return c.Conn.Write(b)
}

// TestWrap: what runs over TCP is wrapped at both sides, whatever the flights are.
func TestWrap(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"in the signalling": {10, 10, 10},
		"over TCP":          {maxFlight + 1, 10, 10},
	} {
		wrapped := &Options{Handshake: &Handshake{
			Protocols: []string{"script"},
			Run:       s.run,
			Wrap:      func(c net.Conn) (net.Conn, error) { return inverted{c}, nil },
		}}
		plain := &Options{Handshake: &Handshake{Protocols: []string{"script"}, Run: s.run}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, r := newPair(t)
			dialled, accepted := attemptBoth(t, i, r, wrapped, wrapped)
			if dialled.err != nil || accepted.err != nil {
				t.Fatal(dialled.err, accepted.err)
			}
			wantTalk(t, dialled.conn, accepted.conn)
		})
		t.Run(name+", at one side alone", func(t *testing.T) {
			t.Parallel()
			i, r := newPair(t)
			// The initiator may have done its part before the responder finds out.
			_, accepted := attemptBoth(t, i, r, wrapped, plain)
			if !strings.Contains(fmt.Sprint(accepted.err), "has other bytes") {
				t.Errorf("responder: %v; want it to understand nothing", accepted.err)
			}
		})
	}
}

// TestHandshakeFails: the token has proved that it is the peer, so that is the end.
func TestHandshakeFails(t *testing.T) {
	t.Parallel()
	refuse := errors.New("the other's name is wrong")
	good := script{10, 10, 10}.run
	for name, tc := range map[string]struct {
		initiator, responder func(context.Context, net.Conn, string, bool) error
		want                 []Reason
	}{
		"at once": {func(context.Context, net.Conn, string, bool) error { return refuse }, good, []Reason{ErrHandshake}},
		// The responder says that it has failed, and not why: perhaps before a connection is up.
		"at the responder": {good, func(context.Context, net.Conn, string, bool) error { return refuse }, []Reason{ErrHandshake, ErrNoConnection}},
		"after the first two": {func(_ context.Context, c net.Conn, _ string, _ bool) error {
			return errors.Join(good(nil, c, "", true), refuse)
		}, good, []Reason{ErrHandshake}},
		"after it has closed the connection": {func(ctx context.Context, c net.Conn, _ string, _ bool) error {
			err := good(ctx, c, "", true)
			c.Close()
			select { // as long as it takes to be taken for the reason
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			return errors.Join(err, ErrGated)
		}, good, []Reason{ErrGated}},
		"for a reason of the caller": {func(context.Context, net.Conn, string, bool) error { return ErrGated }, good, []Reason{ErrGated}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, r := newPair(t)
			dialled, accepted := attemptBoth(t, i, r,
				&Options{Handshake: &Handshake{Protocols: []string{"x"}, Run: tc.initiator}},
				&Options{Handshake: &Handshake{Protocols: []string{"x"}, Run: tc.responder}})
			if got := ReasonOf(dialled.err); !slices.Contains(tc.want, got) {
				t.Errorf("the initiator's failure is %q in %v, want %q", got, dialled.err, tc.want)
			}
			wantPunchError(t, dialled.err)
			if accepted.conn == nil {
				wantPunchError(t, accepted.err)
			}
		})
	}
}

func wantPunchError(t testing.TB, err error) {
	t.Helper()
	var e *PunchError
	if !errors.As(err, &e) || e.Op == "" || strings.Contains(err.Error(), "simopen") {
		t.Errorf("%v: want a PunchError with its stage, and no prefix", err)
	}
}

func TestNoProtocol(t *testing.T) {
	t.Parallel()
	i, r := newPair(t)
	h := new(tlsHandshake)
	for name, tc := range map[string]struct{ initiator, responder *Options }{
		"none in common":  {h.options("a"), h.options("b")},
		"none there":      {h.options("a"), nil},
		"none here":       {nil, h.options("a")},
		"several in vain": {h.options("a", "b"), h.options("c", "d")},
	} {
		dialled, accepted := attemptBoth(t, i, r, tc.initiator, tc.responder)
		if ReasonOf(dialled.err) != ErrNoProtocol || ReasonOf(accepted.err) != ErrNoProtocol {
			t.Errorf("%s: %v, %v, want %q", name, dialled.err, accepted.err, ErrNoProtocol)
		}
	}
}

// TestAdmit: a connection that is not admitted is the end, at either side. The initiator may have
// chosen by then what the responder refuses.
func TestAdmit(t *testing.T) {
	t.Parallel()
	refusing := &Options{Admit: func(*net.TCPConn, bool) error { return ErrGated }}
	i, r := newPair(t)
	if dialled, _ := attemptBoth(t, i, r, refusing, nil); ReasonOf(dialled.err) != ErrGated {
		t.Errorf("at the initiator: %v, want %q", dialled.err, ErrGated)
	}
	dialled, accepted := attemptBoth(t, i, r, nil, refusing)
	if ReasonOf(accepted.err) != ErrGated {
		t.Errorf("at the responder: %v, want %q", accepted.err, ErrGated)
	}
	var remote *RemoteError
	switch {
	case dialled.err == nil:
		if _, err := dialled.conn.Read(make([]byte, 1)); err == nil {
			t.Error("the initiator has read something")
		}
		dialled.conn.Close()
	case !errors.As(dialled.err, &remote) || remote.Status != ErrGated.row().status || remote.Detail != ErrGated.Error():
		t.Errorf("the initiator is told %v, want that the gater refused", dialled.err)
	}
}
