package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// wantUntouched pings over the relayed connection itself.
func wantUntouched(t *testing.T, relayed network.Conn) {
	t.Helper()
	s, err := relayed.NewStream(network.WithAllowLimitedConn(testContext(t), "test"))
	if err != nil {
		t.Fatalf("relayed connection: %v", err)
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(testTimeout))
	// multistream-select by hand, proposing and pinging at once.
	msg := "\x13/multistream/1.0.0\n\x11" + string(ping.ID) + "\n" + string(make([]byte, ping.PingSize))
	if _, err := io.WriteString(s, msg); err != nil {
		t.Fatalf("relayed connection: %v", err)
	}
	if _, err := io.ReadFull(s, make([]byte, len(msg))); err != nil {
		t.Fatalf("relayed connection: %v", err)
	}
}

// wantNothingLeft compares open files before and after f, which closes all that
// it opens. On other systems than Linux goleak alone watches.
func wantNothingLeft(t *testing.T, f func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		f()
		return
	}
	before := openFiles(t)
	f()
	// The kernel's and Go's own closing is asynchronous in places.
	for deadline := time.Now().Add(testTimeout); openFiles(t) > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d were before", openFiles(t), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// newBadSTUNServer serves every connection with f.
func newBadSTUNServer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		wg.Wait()
	})
	return l.Addr().String()
}

func TestBadSTUNServer(t *testing.T) {
	t.Parallel()
	refusing := func(t *testing.T) string { return tcptest.Refusing(t).String() }
	serve := func(f func(net.Conn)) func(*testing.T) string {
		return func(t *testing.T) string { return newBadSTUNServer(t, f) }
	}
	request := func(c net.Conn) []byte {
		b := make([]byte, 28)
		io.ReadFull(c, b)
		return b
	}
	hold := func(c net.Conn) { io.Copy(io.Discard, c) }
	for name, tc := range map[string]struct {
		server func(*testing.T) string
		want   []error
	}{
		"none":     {nil, []error{ErrNoSTUNServer}},
		"refuses":  {refusing, []error{ErrNoReflexiveAddress}},
		"hangs up": {serve(func(c net.Conn) { request(c) }), []error{ErrNoReflexiveAddress, stun.ErrDisconnected}},
		"nonsense": {serve(func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hold(c) }), []error{ErrNoReflexiveAddress, stun.ErrMalformed}},
		"silent":   {serve(hold), []error{ErrNoReflexiveAddress, context.DeadlineExceeded}},
		"half an answer": {serve(func(c net.Conn) {
			b := request(c)
			c.Write(append([]byte{1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42}, append(b[8:20], 0, 0x20)...))
			hold(c)
		}), []error{ErrNoReflexiveAddress, context.DeadlineExceeded}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var servers []string
			if tc.server != nil {
				servers = append(servers, tc.server(t))
			}
			relay := newBlindRelay(t)
			a, b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)))), newPeer(t, Enable(WithSTUNServers(servers...)))
			relayed := connectRelayed(t, relay, a, b)
			_, err := DirectConnect(testContext(t), b, a.ID())
			for _, want := range tc.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("got %T, want *Error", err)
			}
			if tc.server != nil && !strings.Contains(err.Error(), servers[0]) {
				t.Errorf("got %v, which does not name the server", err)
			}
			var se *stun.Error
			if errors.As(err, &se) && se.Server != servers[0] {
				t.Errorf("the error names %s, want %s", se.Server, servers[0])
			}
			wantUntouched(t, relayed)
		})
	}
	t.Run("of the responder", func(t *testing.T) {
		t.Parallel()
		relay := newBlindRelay(t)
		a, b := newPeer(t, Enable()), newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
		relayed := connectRelayed(t, relay, a, b)
		_, err := DirectConnect(testContext(t), b, a.ID())
		var remote *holepunch.RemoteError
		if !errors.As(err, &remote) || remote.Status != holepunch.StatusNoAddress || !errors.Is(err, holepunch.ErrNoAddress) || errors.Is(err, ErrNoSTUNServer) {
			t.Fatalf("got %v, want the responder's reason", err)
		}
		wantUntouched(t, relayed)
	})
}

// A peer without simopen costs a small stream or two, and is recognised at once.
func TestPeerWithoutSimopen(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(host.Host) network.StreamHandler{
		"go-libp2p": nil,
		"an implementation whose resets have no code": func(h host.Host) network.StreamHandler {
			return func(s network.Stream) {
				p, handle, err := h.Mux().Negotiate(s)
				if err != nil {
					s.Reset()
					return
				}
				s.SetProtocol(p)
				go handle(p, s)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t), newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
			if handler != nil {
				a.Network().SetStreamHandler(handler(a))
			}
			relayed := connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, ErrPeerUnsupported) {
				t.Fatalf("got %v, want ErrPeerUnsupported", err)
			}
			wantUntouched(t, relayed)
		})
	}
}

// The relay dies when the OFFER has arrived.
func TestRelayDiesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	offers := make(chan network.Stream)
	relay, dialler, relayed, peer := hostile(t, func(s network.Stream) { offers <- s })
	(<-offers).Reset() // of the automatic upgrade
	dialled := make(chan error)
	go func() {
		_, err := find(dialler).Dial(testContext(t), simopenAddr, peer.ID())
		dialled <- err
	}()
	<-offers
	relay.Close()
	if err := <-dialled; !errors.Is(err, holepunch.ErrSignalLost) {
		t.Fatalf("got %v, want ErrSignalLost", err)
	}
	if !relayed.IsClosed() {
		t.Error("the relayed connection outlives its relay")
	}
}

// A context that ends at any point: the error matches, and nothing is left.
func TestContextEnds(t *testing.T) {
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers, manyAttempts))
	relayed := connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
	many := newManyPorts(t, a, servers)
	for d := time.Duration(0); d < 10*time.Millisecond; d += 250 * time.Microsecond {
		wantNothingLeft(t, func() {
			// A listener at a port of its own, for the hosts' ports have a connection already.
			l, err := many.Listen(ma.StringCast(manyPortsAddr))
			if err != nil {
				t.Fatal(err)
			}
			var accepting sync.WaitGroup
			accepting.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					accepting.Go(func() { // until the other side has closed it
						c.AcceptStream()
						c.Close()
					})
				}
			})
			defer accepting.Wait()
			defer l.Close()
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			conn, err := many.dialler(find(b)).Dial(ctx, l.Multiaddr(), a.ID())
			if err == nil {
				conn.Close()
			} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Errorf("after %v: %v, want the context's error", d, err)
			}
		})
	}
	if directConn(b, a.ID()) == nil {
		t.Error("the host's direct connection is gone")
	}
	wantUntouched(t, relayed)
}

// A punch that fails at the peer's word leaves nothing, at once.
func TestFailedPunchLeavesNothing(t *testing.T) {
	nobody := tcptest.Refusing(t).String()
	refused := make(chan struct{}, 1)
	tracer := WithTracer(func(e Event) {
		if e.Kind == holepunch.ConnectFailed {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
	})
	_, dialler, relayed, peer := hostile(t, func(s network.Stream) {
		defer s.Close()
		var m pb.Message
		select {
		case <-refused: // in an attempt before
		default:
		}
		r, w := pbio.NewDelimitedReader(s, 4096), pbio.NewDelimitedWriter(s)
		if err := r.ReadMsg(&m); err != nil {
			return
		}
		w.WriteMsg(newAnswer(&m, newCandidate(pb.Candidate_REFLEXIVE, nobody)))
		<-refused
		w.WriteMsg(&pb.Message{Type: pb.Message_DONE, Attempt: m.Attempt, Status: pb.Status_FAILED, Detail: "over"})
	}, tracer)
	// The automatic upgrade comes first, and to the same end.
	if _, err := DirectConnect(testContext(t), dialler, peer.ID()); err == nil {
		t.Fatal("connected to nobody")
	}
	wantNothingLeft(t, func() {
		_, err := DirectConnect(testContext(t), dialler, peer.ID())
		var remote *holepunch.RemoteError
		var punch *holepunch.PunchError
		if !errors.As(err, &remote) || remote.Detail != "over" {
			t.Errorf("got %v, want the peer's word", err)
		}
		if !errors.As(err, &punch) || punch.Connects == 0 {
			t.Errorf("got %v, want it after some attempts", err)
		}
	})
	wantUntouched(t, relayed)
}

// A context that ends while the automatic upgrade shares the dial, and goes on
// with it.
func TestContextEndsInSharedDial(t *testing.T) {
	t.Parallel()
	offered := make(chan struct{}, 1)
	release := make(chan struct{})
	_, dialler, _, peer := hostile(t, func(network.Stream) {
		offered <- struct{}{}
		<-release
	})
	<-offered // of the automatic upgrade
	ctx, cancel := context.WithCancel(testContext(t))
	connected := make(chan error)
	go func() {
		_, err := DirectConnect(ctx, dialler, peer.ID())
		connected <- err
	}()
	waiting := func() (n int) {
		find(dialler).peers.with(peer.ID(), func(s *peerState) {
			if s.dial != nil {
				n = s.dial.callers
			}
		})
		return n
	}
	for waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-connected; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "signalling") {
		t.Errorf("got %v, want the context's error, and where it was", err)
	}
	if waiting() != 1 {
		t.Error("it waited for the other one")
	}
	close(release)
}
