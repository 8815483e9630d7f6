package tcpport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

func TestMain(m *testing.M) { labtest.Main(m, nil) }

// testTimeout ends a test that waits for what does not come.
const testTimeout = 30 * time.Second

var localhost = netip.MustParseAddr("127.0.0.1")

// A testPort is a Port that collects what it accepts.
type testPort struct {
	*Port
	addr     netip.AddrPort // on loopback
	accepted chan *net.TCPConn
}

func newTestPort(t *testing.T) *testPort {
	t.Helper()
	accepted := make(chan *net.TCPConn, 16)
	p, err := Open(func(c *net.TCPConn) { accepted <- c }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &testPort{p, netip.AddrPortFrom(localhost, p.Number()), accepted}
}

// next waits for an accepted connection.
func (p *testPort) next(t *testing.T) *net.TCPConn {
	t.Helper()
	select {
	case c := <-p.accepted:
		t.Cleanup(func() { Reset(c) })
		return c
	case <-time.After(testTimeout):
		t.Fatal("nothing was accepted")
		return nil
	}
}

func (p *testPort) connect(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := p.Connect(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Reset(c) })
	return c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// needIPv6 skips a test in containers without IPv6.
func needIPv6(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skipf("no IPv6 here: %v", err)
}

func remoteOf(c *net.TCPConn) netip.AddrPort { return c.RemoteAddr().(*net.TCPAddr).AddrPort() }

func TestPortIsSharedByListenerAndConnections(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			t.Parallel()
			server, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
			if err != nil {
				needIPv6(t, err)
			}
			defer server.Close()
			p := newTestPort(t)
			first := p.connect(t, server.Addr().(*net.TCPAddr).AddrPort())
			if got := first.LocalAddr().(*net.TCPAddr).AddrPort(); got.Port() != p.Number() {
				t.Fatalf("connected from %v, want port %d", got, p.Number())
			}
			// The listener works as well, and the peer at the other end may be another Port.
			q := newTestPort(t)
			q.connect(t, netip.AddrPortFrom(netip.MustParseAddr(ip), p.Number()))
			if got := remoteOf(p.next(t)); got.Port() != q.Number() {
				t.Fatalf("accepted from %v, want port %d", got, q.Number())
			}
		})
	}
}

func TestConnectSaysWhenTheTupleIsTaken(t *testing.T) {
	t.Parallel()
	p, q := newTestPort(t), newTestPort(t)
	p.connect(t, q.addr)
	accepted := q.next(t)
	if _, err := q.Connect(testContext(t), p.addr); !errors.Is(err, ErrTupleTaken) {
		t.Fatalf("connect on the 4-tuple of an accepted connection: %v, want ErrTupleTaken", err)
	}
	// With the connection gone, the 4-tuple is free at once.
	Reset(accepted)
	for {
		c, err := q.Connect(testContext(t), p.addr)
		if errors.Is(err, ErrTupleTaken) {
			continue // the RST has not arrived at the other end
		}
		if err != nil {
			t.Fatal(err)
		}
		Reset(c)
		break
	}
	Reset(p.next(t))
}

func TestConnectIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := newTestPort(t).Connect(testContext(t), tcptest.Refusing(t)); !IsRefused(err) {
		t.Errorf("connect to a closed port: %v, want a refusal", err)
	}
	if IsRefused(ErrTupleTaken) || IsRefused(nil) {
		t.Error("something else is a refusal")
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, q := newTestPort(t), newTestPort(t)
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if c, err := p.Connect(ctx, q.addr); err == nil {
		Reset(c)
		t.Fatal("connected with a context that has ended")
	}
}

func TestDialContextByName(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := server.Addr().(*net.TCPAddr).Port
	p := newTestPort(t)
	c, err := p.DialContext(testContext(t), "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	Reset(c.(*net.TCPConn))
	if _, err := p.DialContext(testContext(t), "tcp", "no port"); err == nil {
		t.Fatal("dialled an address without a port")
	}
}

func TestNilResetsWhatComesIn(t *testing.T) {
	t.Parallel()
	p, err := Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	q := newTestPort(t)
	c, err := q.Connect(testContext(t), netip.AddrPortFrom(localhost, p.Number()))
	if err != nil {
		return // the RST came before connect had returned
	}
	defer Reset(c)
	c.SetReadDeadline(time.Now().Add(testTimeout))
	_, err = c.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v, want a reset", err)
	}
}

// TestConnectingFrom: a connect in IPv6 leaves from the address that was chosen. If that is not the
// host's, the 4-tuple is not taken.
func TestConnectingFrom(t *testing.T) {
	t.Parallel()
	p, q := newTestPort(t), newTestPort(t)
	loopback := netip.MustParseAddr("::1")
	to := netip.AddrPortFrom(loopback, q.Number())
	if c, err := p.ConnectingFrom(loopback).Connect(t.Context(), to); err == nil {
		if got, want := c.LocalAddr().String(), netip.AddrPortFrom(loopback, p.Number()).String(); got != want {
			t.Errorf("connected from %s, want %s", got, want)
		}
		Reset(c)
	} else {
		t.Logf("no IPv6 here: %v", err)
	}
	_, err := p.ConnectingFrom(netip.MustParseAddr("2001:db8::1")).Connect(t.Context(), to)
	if err == nil || errors.Is(err, ErrTupleTaken) {
		t.Errorf("from somebody else's address: %v", err)
	}
}

// TestCloseWaitsForAccept: after Close nothing is accepted, and no call of accept is under way.
func TestCloseWaitsForAccept(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	p, err := Open(func(c *net.TCPConn) {
		close(entered)
		<-leave
		Reset(c)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(localhost, p.Number())
	q := newTestPort(t)
	q.connect(t, addr)
	<-entered
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp4", addr.String())
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case <-closed:
		t.Error("Close returned before accept had")
	default:
	}
	close(leave)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestConnectionsOutliveThePort: Close ends neither what was accepted nor what was connected.
func TestConnectionsOutliveThePort(t *testing.T) {
	t.Parallel()
	p, q := newTestPort(t), newTestPort(t)
	c := p.connect(t, q.addr)
	accepted := q.next(t)
	p.Close()
	q.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := accepted.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
