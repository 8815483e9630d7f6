package punch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// testTimeout ends a test that waits for what does not come.
const testTimeout = 30 * time.Second

var localhost = netip.MustParseAddr("127.0.0.1")

// quick are the usual timings with nothing to wait for.
var quick = func() *timings {
	t := defaultTimings
	t.retry, t.maxRetry = 10*time.Millisecond, 50*time.Millisecond
	t.slowPause = 25 * time.Millisecond
	t.minTokenWait = 20 * time.Millisecond
	return &t
}()

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// A side is one peer's host on loopback.
type side struct {
	port     *tcpport.Port
	addr     netip.AddrPort
	receiver *Receiver
}

func newSide(t *testing.T) *side { return newSideWith(t, tokenTimeout) }

// newSideWith makes a side that waits for a token for some time.
func newSideWith(t *testing.T, timeout time.Duration) *side {
	t.Helper()
	r := NewReceiver()
	r.timeout = timeout
	p, err := tcpport.Open(r.Accept, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		r.Close()
	})
	return &side{p, netip.AddrPortFrom(localhost, p.Number()), r}
}

func reflexive(addrs ...netip.AddrPort) []Candidate {
	var cs []Candidate
	for _, a := range addrs {
		cs = append(cs, Candidate{Kind: Reflexive, Addr: a})
	}
	return cs
}

// An attempt is one side's part in an attempt.
type attempt struct {
	t      *testing.T
	side   *side
	token  Token // that the peer has to show
	stream *Stream
	served chan bool // each connection that came to the stream, and whether it was accepted
	cancel func()
	round  Round

	end     context.CancelFunc // of the opening's context
	opening *Opening
}

// attempt begins an attempt that accepts connections.
func (s *side) attempt(t *testing.T, initiator bool) *attempt {
	t.Helper()
	a := &attempt{t: t, side: s, token: NewToken(), served: make(chan bool, 1000)}
	a.stream = NewStream(StreamConfig{Initiator: initiator, Token: a.token})
	a.cancel = s.receiver.Expect(a.token, func(c *net.TCPConn) {
		a.served <- true
		a.stream.Serve(c, true)
	})
	a.round = Round{
		Ports:     []*tcpport.Port{s.port},
		Initiator: initiator,
		Receiver:  s.receiver,
		times:     quick,
		Serve: func(c *net.TCPConn) error {
			a.served <- false
			return a.stream.Serve(c, false)
		},
	}
	t.Cleanup(func() {
		a.cancel()
		a.stream.Close()
		a.close()
	})
	return a
}

// open connects to the peer.
func (a *attempt) open(ctx context.Context, peer netip.AddrPort) {
	ctx, a.end = context.WithCancel(ctx)
	a.round.Remote = reflexive(peer)
	a.opening = Open(ctx, a.round)
}

// close ends the attempt's connects.
func (a *attempt) close() (r Result) {
	if a.end != nil {
		a.end()
		a.stream.Fail(errors.New("the test is over"))
		r = a.opening.Wait()
		a.end = nil
	}
	return r
}

func (a *attempt) wantChosen() *net.TCPConn {
	a.t.Helper()
	select {
	case <-a.stream.Chosen():
		return a.stream.TCPConn()
	case <-a.stream.Done():
		a.t.Fatalf("the stream has ended: %v", a.stream.Err())
	case <-time.After(testTimeout):
		a.t.Fatal("no connection was chosen")
	}
	return nil
}

// introduce gives two attempts each other's tokens.
func introduce(a, b *attempt) {
	a.stream.SetPeerToken(b.token)
	b.stream.SetPeerToken(a.token)
}

// wantSame checks that two attempts have the ends of one connection.
func wantSame(t *testing.T, a, b *attempt) {
	t.Helper()
	x, y := a.wantChosen(), b.wantChosen()
	if x.LocalAddr().String() != y.RemoteAddr().String() || x.RemoteAddr().String() != y.LocalAddr().String() {
		t.Fatalf("%v to %v and %v to %v are not one connection", x.LocalAddr(), x.RemoteAddr(), y.LocalAddr(), y.RemoteAddr())
	}
	if _, err := io.WriteString(a.stream, "ping"); err != nil {
		t.Fatal(err)
	}
	b.stream.SetReadDeadline(time.Now().Add(testTimeout))
	got := make([]byte, 4)
	if _, err := io.ReadFull(b.stream, got); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// dial connects from an address of this host.
func dial(t *testing.T, from string, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// wantReset waits until the other end has reset c.
func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testTimeout))
	_, err := c.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v, want a reset", err)
	}
}

// A testBudget is a Budget that counts.
type testBudget struct {
	most int
	over chan struct{} // closed when more is asked for

	mu            sync.Mutex
	spent, pended int
}

func newBudget(most int) *testBudget { return &testBudget{most: most, over: make(chan struct{})} }

var errSpent = errors.New("the budget is spent")

func (b *testBudget) Spend(ctx context.Context, to netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent == b.most {
		defer close(b.over)
		return errSpent
	}
	b.spent++
	return ctx.Err()
}

func (b *testBudget) Pended(netip.Addr, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pended++
}

func (b *testBudget) counts() (spent, pended int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent, b.pended
}

// until waits until something is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// connects counts the connects that a Trace reports.
type connects struct {
	mu    sync.Mutex
	count map[tuple]int
}

func newConnects() *connects { return &connects{count: make(map[tuple]int)} }

func (c *connects) trace(step Step, port uint16, remote netip.AddrPort, err error) {
	if step != Connecting {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[tuple{port, remote}]++
}

func (c *connects) of(port *tcpport.Port, to netip.AddrPort) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[tuple{port.Number(), to}]
}
