package gather

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// testContext ends before go test gives up.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newSTUNServer starts a STUN server on loopback that is closed when the test ends.
func newSTUNServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := stun.NewServer(nil)
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// newServer starts a server on loopback of which serve handles the connections. They are closed
// when serve returns, and when the test ends.
func newServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		serving.Wait()
	})
	return l.Addr().String()
}

// newServerThatSees starts a STUN server that reports these addresses for each connection, in turn,
// and then hangs up.
func newServerThatSees(t *testing.T, mapped ...netip.AddrPort) string {
	return newServer(t, func(c net.Conn) {
		for _, a := range mapped {
			header := make([]byte, 20)
			if _, err := io.ReadFull(c, header); err != nil {
				return
			}
			m := &pion.Message{Raw: append(header, make([]byte, int(header[2])<<8|int(header[3]))...)}
			if _, err := io.ReadFull(c, m.Raw[20:]); err != nil || m.Decode() != nil {
				return
			}
			c.Write(pion.MustBuild(m, pion.BindingSuccess, &pion.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}).Raw)
		}
	})
}

func newPort(t *testing.T) *tcpport.Port {
	t.Helper()
	p, err := tcpport.Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// newRealGatherer returns a Gatherer with sockets that knows all that it will know of the NAT.
func newRealGatherer(t *testing.T, c Config) *Gatherer {
	t.Helper()
	g := New(c)
	g.discover = func(context.Context, []string) (*stun.Report, error) { return new(stun.Report), nil }
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// TestOneGoodServer: one server is good and one silent. The port is served by the good one, also
// while the other is still being asked.
func TestOneGoodServer(t *testing.T) {
	t.Parallel()
	mute := newServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	accept := func(c *net.TCPConn) { c.Close() }
	g := newRealGatherer(t, Config{Servers: []string{newSTUNServer(t), mute}, Ports: 2, Accept: accept})
	number, err := g.Port()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d, err := g.Gather(testContext(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), number)
		if c := d.Candidates[0]; c.Kind != punch.Reflexive || c.Addr != want || d.Ports[0].Number() != number {
			t.Errorf("got %v, want %v", d.Candidates, want)
		}
		d.Release()
	}
}

// TestAnswerWhileShort: an answer comes while there is no file descriptor to find out how the host
// sends to the server. That there is one later is no other place in the network.
func TestAnswerWhileShort(t *testing.T) {
	t.Parallel()
	g := newRealGatherer(t, Config{Servers: []string{newSTUNServer(t)}, Ports: 1})
	source := g.sourceAddr
	var short atomic.Bool
	short.Store(true)
	checked := make(chan struct{}, 1)
	g.sourceAddr = func(to netip.AddrPort) (netip.Addr, error) {
		if short.Load() {
			return netip.Addr{}, tcpport.ErrShort
		}
		select {
		case checked <- struct{}{}:
		default:
		}
		return source(to)
	}
	g.setTimings(timings{networkCheck: 10 * time.Millisecond, keepAlive: keepAlive, minKeepAlive: minKeepAlive})
	d, err := g.Gather(testContext(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	short.Store(false)
	for range 3 {
		<-checked
	}
	g.call(func() {
		if g.epoch != d.epoch {
			t.Error("the host seems to have moved")
		}
	})
}

// TestServerThatHangsUp: a server answers and hangs up, as coturn does with clients of STUN alone.
func TestServerThatHangsUp(t *testing.T) {
	t.Parallel()
	g := newRealGatherer(t, Config{Servers: []string{newServerThatSees(t, addrPorts("127.0.0.1:5000")...)}, Ports: 1})
	g.SetWarm(true)
	for range 5 {
		d, err := g.Gather(testContext(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		d.Release()
	}
}

// TestManyAddresses: there are more observers than a message has room for, each with an answer of
// its own.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	var servers []string
	for i := range punch.MaxCandidates + 1 {
		a := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(50000+i))
		servers = append(servers, newServerThatSees(t, a, a))
	}
	g := newRealGatherer(t, Config{Servers: servers})
	d, err := g.Gather(testContext(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	if n := len(d.Candidates); n == 0 || n > punch.MaxCandidates {
		t.Errorf("%d candidates, want 1 to %d", n, punch.MaxCandidates)
	}
}

// TestServerEnds: an observation ends with the connection, and when the answer changes or cannot
// be.
func TestServerEnds(t *testing.T) {
	t.Parallel()
	a, b := addrPorts("127.0.0.1:5000")[0], addrPorts("127.0.0.1:5001")[0]
	for name, tc := range map[string]struct {
		sees   []netip.AddrPort
		report []netip.AddrPort // with these the observer answers
		err    error
		text   string
	}{
		"hangs up":       {[]netip.AddrPort{a, a, a}, []netip.AddrPort{a}, stun.ErrDisconnected, ""},
		"says otherwise": {[]netip.AddrPort{a, a, b, b}, []netip.AddrPort{a}, nil, "reports 127.0.0.1:5000, and 127.0.0.1:5001 for the same connection"},
		"cannot see it":  {addrPorts("[2a00::1]:5000"), nil, stun.ErrFamily, ""},
		"says nothing":   {nil, nil, stun.ErrDisconnected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stunServer{newServerThatSees(t, tc.sees...), time.Millisecond, time.Minute}
			var reports []netip.AddrPort
			err := s.Observe(testContext(t), observerDialer{port: newPort(t)}, func(remote, reflexive netip.AddrPort) {
				reports = append(reports, reflexive)
				if remote.String() != s.String() {
					t.Errorf("the server is at %s, want %s", remote, s)
				}
			})
			if !slices.Equal(reports, tc.report) {
				t.Errorf("reported %v, want %v", reports, tc.report)
			}
			if tc.err != nil && !errors.Is(err, tc.err) || err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v %s", err, tc.err, tc.text)
			}
		})
	}
}

// TestServerIsHeld: an observation goes on until its context ends, and the port can ask again at
// once. The test is not parallel: processes that other tests start have a copy of the closed socket
// until they execute their program.
func TestServerIsHeld(t *testing.T) {
	s := stunServer{newSTUNServer(t), 10 * time.Millisecond, time.Minute}
	port := newPort(t)
	for range 3 {
		ctx, cancel := context.WithCancel(testContext(t))
		err := s.Observe(ctx, observerDialer{port: port}, func(_, reflexive netip.AddrPort) {
			if reflexive.Port() != port.Number() {
				t.Errorf("seen at %s, want port %d", reflexive, port.Number())
			}
			time.AfterFunc(25*time.Millisecond, cancel)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		cancel()
	}
}

// TestTupleIsFreedLate: a port asks an observer again although something still has a copy of the
// socket that was closed.
func TestTupleIsFreedLate(t *testing.T) {
	t.Parallel()
	ctx, server, d := testContext(t), newSTUNServer(t), observerDialer{port: newPort(t)}
	first, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := first.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	freed := time.AfterFunc(tupleWait/10, func() { copied.Close() })
	second, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	if freed.Stop() {
		t.Error("the copy did not hold the 4-tuple")
	}
	second.Close()
}

// TestServerIsLate: the error says what has not come.
func TestServerIsLate(t *testing.T) {
	t.Parallel()
	mute := newServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	s := stunServer{mute, time.Minute, 2 * time.Second} // in which it can connect
	err := s.Observe(testContext(t), observerDialer{port: newPort(t)}, func(_, reflexive netip.AddrPort) { t.Error(reflexive) })
	if want := "stun: binding " + mute + ": context deadline exceeded"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	expired, cancel := context.WithDeadline(testContext(t), time.Now())
	defer cancel()
	err = s.Observe(expired, observerDialer{port: newPort(t)}, func(_, reflexive netip.AddrPort) { t.Error(reflexive) })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "stun: dial "+mute) || strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
}

func TestServerIPv4(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"stun.example.org:3478": true, "46.0.1.1:3478": true, "[2a00::1]:3478": false} {
		if got := (stunServer{address: address}).IPv4(); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}
