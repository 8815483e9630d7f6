package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A call is the result of a call of DirectConnect.
type call struct {
	host host.Host
	conn network.Conn
	err  error
}

// callAtOnce has n callers of each host connect to its peer, which is the other one.
func callAtOnce(ctx context.Context, n int, hosts ...[2]host.Host) []call {
	calls := make([]call, n*len(hosts))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range calls {
		h := hosts[i%len(hosts)]
		wg.Go(func() {
			<-start
			c, err := DirectConnect(ctx, h[0], h[1].ID())
			calls[i] = call{h[0], c, err}
		})
	}
	close(start)
	wg.Wait()
	return calls
}

// countStarted counts the attempts that a host begins as initiator.
func countStarted(n *atomic.Int32) Option {
	return WithTracer(func(e Event) {
		if e.Kind == Started && e.Direction == network.DirOutbound {
			n.Add(1)
		}
	})
}

// All callers of DirectConnect, on one side or on both, get the one connection that one attempt
// brings.
func TestCallersShareAnAttempt(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, side := range []string{"dialler", "listener", "both"} {
		for _, n := range []int{16, 1000} {
			t.Run(fmt.Sprintf("%s/%d", side, n), func(t *testing.T) {
				var started [2]atomic.Int32
				relay := newRelay(t)
				listener := newPeer(t, Enable(servers, WithOnRequestOnly(), countStarted(&started[0])))
				dialler := newPeer(t, Enable(servers, WithOnRequestOnly(), countStarted(&started[1])))
				connectRelayed(t, relay, listener, dialler)
				var hosts [][2]host.Host
				if side != "listener" {
					hosts = append(hosts, [2]host.Host{dialler, listener})
				}
				if side != "dialler" {
					hosts = append(hosts, [2]host.Host{listener, dialler})
				}
				conns := make(map[host.Host]network.Conn)
				for _, c := range callAtOnce(testContext(t), n, hosts...) {
					switch first := conns[c.host]; {
					case c.err != nil:
						t.Fatal(c.err)
					case first == nil:
						conns[c.host] = c.conn
					case first != c.conn:
						t.Fatalf("%v and %v", first, c.conn)
					}
				}
				for i := range started {
					if n := started[i].Load(); n > 1 {
						t.Errorf("%d attempts began", n)
					}
				}
				for _, h := range []host.Host{listener, dialler} {
					eventually(t, "nothing is remembered of the attempt", func() bool { return noDials(find(h)) })
				}
			})
		}
	}
}

// noDials reports whether no caller waits, and nothing is under way.
func noDials(t *Transport) bool {
	t.peers.mu.Lock()
	defer t.peers.mu.Unlock()
	for _, s := range t.peers.states {
		if s.dial != nil || s.waiters+s.offers+s.answers.underWay+s.protections > 0 {
			return false
		}
	}
	return true
}

// All callers that wait for an attempt get the reason why it failed.
func TestCallersShareAReason(t *testing.T) {
	t.Parallel()
	const n = 1000
	var started atomic.Int32
	relay := newRelay(t)
	a := newPeer(t)
	b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithOnRequestOnly(), countStarted(&started)))
	offered, release := make(chan struct{}), make(chan struct{})
	a.SetStreamHandler(holepunch.Protocol, func(s network.Stream) {
		s.Read(make([]byte, 1))
		offered <- struct{}{}
		<-release
		s.Reset()
	})
	connectRelayed(t, relay, a, b)
	calls := make(chan []call)
	go func() { calls <- callAtOnce(testContext(t), n, [2]host.Host{b, a}) }()
	<-offered
	awaitCallers(t, find(b), a.ID(), n)
	close(release)
	for _, c := range <-calls {
		if !errors.Is(c.err, holepunch.ErrSignalLost) {
			t.Fatalf("got %v, want %v", c.err, holepunch.ErrSignalLost)
		}
	}
	if n := started.Load(); n != 1 {
		t.Errorf("%d attempts began, want 1", n)
	}
}

// A lateRefusal is a gater that refuses every punched connection, but only once it is released.
type lateRefusal struct {
	gater
	release <-chan struct{}
}

func (g lateRefusal) InterceptSecured(d network.Direction, p peer.ID, a network.ConnMultiaddrs) bool {
	if g.gater.InterceptSecured(d, p, a) {
		return true
	}
	<-g.release
	return false
}

// All callers of both sides get the reason of the one attempt.
func TestCallersOfBothSidesShareAReason(t *testing.T) {
	t.Parallel()
	const n = 1000
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	relayPort, _ := relay.Addrs()[0].ValueForProtocol(ma.P_TCP)
	release := make(chan struct{})
	refuses := libp2p.ConnectionGater(lateRefusal{gater{"InterceptSecured", relayPort}, release})
	a, b := newPeer(t, Enable(servers, WithOnRequestOnly()), refuses), newPeer(t, Enable(servers, WithOnRequestOnly()), refuses)
	connectRelayed(t, relay, a, b)
	calls := make(chan []call)
	go func() { calls <- callAtOnce(testContext(t), n, [2]host.Host{a, b}, [2]host.Host{b, a}) }()
	awaitCallers(t, find(a), b.ID(), n)
	awaitCallers(t, find(b), a.ID(), n)
	close(release)
	reasons := make(map[host.Host]error)
	for _, c := range <-calls {
		switch first := reasons[c.host]; {
		case c.err == nil:
			t.Fatalf("got %v", c.conn)
		case first == nil:
			reasons[c.host] = c.err
		case first.Error() != c.err.Error():
			t.Fatalf("%v\nand %v", first, c.err)
		}
	}
	for _, err := range reasons {
		var remote *holepunch.RemoteError
		if !errors.Is(err, ErrGated) && !(errors.As(err, &remote) && strings.Contains(remote.Detail, "gater")) {
			t.Errorf("got %v, want one side's gater", err)
		}
	}
}

// awaitCallers waits until n callers wait for the dial of p.
func awaitCallers(t *testing.T, tr *Transport, p peer.ID, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d callers wait", n), func() bool {
		tr.peers.mu.Lock()
		defer tr.peers.mu.Unlock()
		s := tr.peers.states[p]
		return s != nil && s.dial != nil && s.dial.callers == n
	})
}

// A caller that gives up gets the step that the attempt was at. The attempt goes on for the others,
// and ends with the last of them. A later call gets another attempt.
func TestCallersGiveUp(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a := newPeer(t)
	b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithOnRequestOnly()))
	offered := holdOffers(t, a)
	connectRelayed(t, relay, a, b)
	var cancels []context.CancelFunc
	ended := make(chan error)
	call := func() {
		ctx, cancel := context.WithCancel(testContext(t))
		cancels = append(cancels, cancel)
		go func() {
			_, err := DirectConnect(ctx, b, a.ID())
			ended <- err
		}()
	}
	call()
	call()
	<-offered
	awaitCallers(t, find(b), a.ID(), 2)
	for range 2 {
		cancels[0]()
		cancels = cancels[1:]
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was cancelled", err)
		}
	}
	call() // perhaps before the other has ended
	<-offered
	awaitCallers(t, find(b), a.ID(), 1)
	cancels[0]()
	<-ended
	eventually(t, "nothing is remembered of the attempts", func() bool { return noDials(find(b)) })
}

// DirectConnect may be called from within a notification of the swarm, by the side that has the
// relayed connection as inbound: it finds what the transport already knows, minds its context, and
// is no hindrance to closing the host.
func TestDirectConnectInNotification(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for name, tc := range map[string]struct {
		opts    []Option
		answers bool
	}{
		"peer answers":      {[]Option{servers, WithOnRequestOnly()}, true},
		"peer is silent":    {nil, false},
		"peer wants it too": {[]Option{servers}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := newRelay(t)
			a := newPeer(t, Enable(servers))
			var b host.Host
			if tc.opts == nil {
				b = newPeer(t)
				holdOffers(t, b)
			} else {
				b = newPeer(t, Enable(tc.opts...))
			}
			timeout := testTimeout
			if !tc.answers {
				timeout = time.Second
			}
			ended := make(chan error, 10)
			a.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
				if c.RemotePeer() != b.ID() || !isRelayed(c) {
					return
				}
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				_, err := DirectConnect(ctx, a, b.ID())
				ended <- err
			}})
			connectRelayed(t, relay, a, b)
			select {
			case err := <-ended:
				if tc.answers && err != nil {
					t.Error(err)
				}
			case <-testContext(t).Done():
				t.Fatal("DirectConnect does not mind its context")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Closing the host ends DirectConnect, also within a notification.
func TestCloseDuringNotification(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a, b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)))), newPeer(t)
	offered := holdOffers(t, b)
	ended := make(chan error, 1)
	a.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == b.ID() {
			_, err := DirectConnect(context.Background(), a, b.ID())
			ended <- err
		}
	}})
	reserve(t, relay, a)
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		b.Connect(testContext(t), circuitInfo(relay, a)) // waits for identify, which waits for the notification
	}()
	<-offered
	a.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	<-connected
}
