package tcpport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m, nil) }

// testTimeout ends a test that waits for what does not come.
const testTimeout = 30 * time.Second

func open4(t *testing.T) (*Port, netip.AddrPort) {
	t.Helper()
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Number())
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, p *Port, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := p.Connect(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Reset(c) })
	return c
}

// next waits for an accepted connection.
func next(t *testing.T, e *Expectation) *net.TCPConn {
	t.Helper()
	select {
	case c := <-e.Conns():
		t.Cleanup(func() { Reset(c) })
		return c
	case <-time.After(testTimeout):
		t.Fatal("nothing was handed over")
		return nil
	}
}

// wantReset waits until the other end has reset c.
func wantReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testTimeout))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("read: %v, want a reset", err)
	}
}

// wantRefusal connects from p, and wants a reset: at once, or after the
// handshake when connect was quicker.
func wantRefusal(t *testing.T, p *Port, to netip.AddrPort) {
	t.Helper()
	c, err := p.Connect(testContext(t), to)
	if err == nil {
		defer Reset(c)
		wantReset(t, c)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
}

func TestPortIsSharedByListenerAndConnections(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			server, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
			if err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatal(err)
				}
				t.Skipf("no %s here: %v", ip, err) // containers without IPv6
			}
			defer server.Close()
			p, _ := open4(t)
			to := server.Addr().(*net.TCPAddr).AddrPort()
			first := connect(t, p, to)
			if got := first.LocalAddr().(*net.TCPAddr).AddrPort(); got.Port() != p.Number() {
				t.Fatalf("connected from %v, want port %d", got, p.Number())
			}
			// The listener is there, too, and the peer at the other end may
			// be another Port.
			e := p.Expect()
			defer e.Close()
			q, _ := open4(t)
			c := connect(t, q, netip.AddrPortFrom(netip.MustParseAddr(ip), p.Number()))
			e.From([]netip.AddrPort{c.LocalAddr().(*net.TCPAddr).AddrPort()})
			if got := remoteOf(next(t, e)); got.Port() != q.Number() {
				t.Fatalf("accepted from %v, want port %d", got, q.Number())
			}
		})
	}
}

func TestConnectSaysWhenTheTupleIsTaken(t *testing.T) {
	p, pa := open4(t)
	q, qa := open4(t)
	e := q.Expect()
	defer e.Close()
	connect(t, p, qa)
	e.From([]netip.AddrPort{pa})
	accepted := next(t, e)
	if _, err := q.Connect(testContext(t), pa); !errors.Is(err, ErrTupleTaken) {
		t.Fatalf("connect on the 4-tuple of an accepted connection: %v, want ErrTupleTaken", err)
	}
	// With the connection gone, the 4-tuple is free at once.
	e2 := p.Expect()
	defer e2.Close()
	e2.From([]netip.AddrPort{qa})
	Reset(accepted)
	for {
		c, err := q.Connect(testContext(t), pa)
		if errors.Is(err, ErrTupleTaken) {
			continue // the RST has not arrived at the other end
		}
		if err != nil {
			t.Fatal(err)
		}
		Reset(c)
		break
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	p, _ := open4(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if c, err := p.Connect(ctx, l.Addr().(*net.TCPAddr).AddrPort()); err == nil {
		Reset(c)
		t.Fatal("connected with a context that has ended")
	}
}

func TestDialContextByName(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Addr().String())
	p, _ := open4(t)
	c, err := p.DialContext(testContext(t), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if _, err := p.DialContext(testContext(t), "tcp", "no port"); err == nil {
		t.Fatal("dialled an address without a port")
	}
}

func TestStrangersAreReset(t *testing.T) {
	p, pa := open4(t)
	q, _ := open4(t)
	wantRefusal(t, q, pa) // nobody is expected

	e := p.Expect()
	defer e.Close()
	e.From([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:4001")})
	r, _ := open4(t)
	wantRefusal(t, r, pa) // another address is
}

func TestOpenExpectationHoldsWhoComesEarly(t *testing.T) {
	p, pa := open4(t)
	e := p.Expect()
	defer e.Close()
	q, qa := open4(t)
	early := connect(t, q, pa) // before the peer's ANSWER is read
	stranger, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp4", pa.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	e.From([]netip.AddrPort{qa})
	got := next(t, e)
	if remoteOf(got) != qa {
		t.Fatalf("got the connection from %v, want %v", remoteOf(got), qa)
	}
	wantReset(t, stranger.(*net.TCPConn))
	if _, err := early.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := got.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestExactExpectationComesBeforeAddress(t *testing.T) {
	p, pa := open4(t)
	q, qa := open4(t)
	neighbour := netip.AddrPortFrom(qa.Addr(), qa.Port()-1)
	byAddress, byPort := p.Expect(), p.Expect()
	defer byAddress.Close()
	defer byPort.Close()
	byAddress.From([]netip.AddrPort{neighbour})
	connect(t, q, pa) // waits: the other expectation is open
	byPort.From([]netip.AddrPort{qa})
	next(t, byPort)

	// From a port that nobody named: by address.
	r, ra := open4(t)
	connect(t, r, pa)
	select {
	case c := <-byAddress.Conns():
		if remoteOf(c) != ra {
			t.Fatalf("got %v, want %v", remoteOf(c), ra)
		}
		Reset(c)
	case c := <-byPort.Conns():
		if remoteOf(c) != ra {
			t.Fatalf("got %v, want %v", remoteOf(c), ra)
		}
		Reset(c)
	case <-time.After(testTimeout):
		t.Fatal("nothing was handed over")
	}
}

func TestCloseEndsExpectationsAndResetsWhatWaits(t *testing.T) {
	p, pa := open4(t)
	e := p.Expect()
	c, err := net.Dial("tcp4", pa.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-e.Conns(); ok {
		t.Fatal("a connection that nobody expected was handed over")
	}
	wantReset(t, c.(*net.TCPConn))
	e.Close()
	late := p.Expect()
	if _, ok := <-late.Conns(); ok {
		t.Fatal("an expectation of a closed port received")
	}
	late.Close()
	if _, err := net.Dial("tcp4", pa.String()); err == nil {
		t.Fatal("a closed port accepts")
	}
}

// A slow peer, whose Expectation stays open, does not keep others waiting.
func TestOpenExpectationDoesNotHoldUpOthers(t *testing.T) {
	p, pa := open4(t)
	open, e := p.Expect(), p.Expect()
	defer open.Close()
	defer e.Close()
	q, qa := open4(t)
	e.From([]netip.AddrPort{netip.AddrPortFrom(qa.Addr(), qa.Port()-1)})
	connect(t, q, pa)
	if got := remoteOf(next(t, e)); got != qa {
		t.Fatalf("got %v, want %v", got, qa)
	}
}

func TestOpenNumber(t *testing.T) {
	// A number that was free a moment ago, and nobody else is likely to get.
	first, _ := open4(t)
	number := first.Number()
	first.Close()
	p, err := OpenNumber(number)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Number() != number {
		t.Errorf("port %d, want %d", p.Number(), number)
	}
	if q, err := OpenNumber(number); !errors.Is(err, ErrPortInUse) {
		t.Errorf("port %v, error %v for a port that is shared already, want ErrPortInUse", q, err)
	}
	p.Close()
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				if network == "tcp6" && os.Getenv("CI") != "true" {
					t.Skipf("no IPv6 here: %v", err)
				}
				t.Fatal(err)
			}
			defer l.Close()
			taken := uint16(l.Addr().(*net.TCPAddr).Port)
			if p, err := OpenNumber(taken); !errors.Is(err, ErrPortInUse) {
				t.Errorf("port %v, error %v for one that somebody listens on, want ErrPortInUse", p, err)
			}
		})
	}
	q, err := OpenNumber(0)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if q.Number() == 0 {
		t.Error("port 0")
	}
}

// A port can be opened again while a connection from it is in TIME-WAIT.
func TestOpenNumberAgain(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p, _ := open4(t)
	c, err := p.Connect(testContext(t), server.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	other, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	other.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	c.Close()
	p.Close()
	again, err := OpenNumber(p.Number())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
