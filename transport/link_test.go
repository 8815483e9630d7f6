package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// awaitConns waits until what h has of connections to its peer is as wanted.
func awaitConns(t testing.TB, h host.Host, what string, is func() bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	note := func(network.Network, network.Conn) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	n := &network.NotifyBundle{ConnectedF: note, DisconnectedF: note}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	ctx := testContext(t)
	for !is() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s did not come to be", what)
		}
	}
}

// logged is a handler that sends what is logged.
type logged chan string

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l logged) WithGroup(string) slog.Handler            { return l }
func (l logged) Handle(_ context.Context, r slog.Record) error {
	select {
	case l <- r.Message:
	default: // nobody reads
	}
	return nil
}

// The relayed connection is closed when the direct one has taken its place.
func TestRelayedConnectionIsClosed(t *testing.T) {
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			servers := WithSTUNServers(newSTUNServer(t))
			relay := newRelay(t)
			grace := map[string]time.Duration{"initiator": -1, "responder": -1, side: time.Millisecond}
			a := newPeer(t, Enable(servers, WithRelayGrace(grace["responder"])))
			b := newPeer(t, Enable(servers, WithRelayGrace(grace["initiator"])))
			connectRelayed(t, relay, a, b)
			c, err := DirectConnect(testContext(t), b, a.ID())
			if err != nil {
				t.Fatal(err)
			}
			awaitConns(t, b, "closing", func() bool { return relayedConn(b, a.ID()) == nil })
			if c.IsClosed() {
				t.Error("the direct connection was closed, too")
			}
		})
	}
}

// A stream on the relayed connection is not cut, however long it lasts.
func TestRelayedStreamIsNotCut(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	logs := make(logged, 1000)
	a := newPeer(t, Enable(servers, WithRelayGrace(-1)))
	b := newPeer(t, Enable(servers, WithRelayGrace(time.Millisecond), WithOnRequestOnly(), WithLogger(slog.New(logs))))
	a.SetStreamHandler("/echo", func(s network.Stream) {
		io.Copy(s, s)
		s.Close()
	})
	relayed := connectRelayed(t, relay, a, b)
	ctx := testContext(t)
	s, err := b.NewStream(ctx, a.ID(), "/echo") // there is no other connection yet
	if err != nil {
		t.Fatal(err)
	}
	echo := func() {
		t.Helper()
		s.SetDeadline(time.Now().Add(testTimeout))
		if _, err := s.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	echo()
	if !isRelayed(s.Conn()) {
		t.Fatal("the stream is not over the relay")
	}
	if _, err := DirectConnect(ctx, b, a.ID()); err != nil {
		t.Fatal(err)
	}
	for looks := 0; looks < 2; {
		select {
		case msg := <-logs:
			if strings.Contains(msg, "streams") {
				looks++
				echo()
			}
		case <-ctx.Done():
			t.Fatal("nobody looked whether the relayed connection may be closed")
		}
	}
	s.Close()
	awaitConns(t, b, "closing", relayed.IsClosed)
}

// When the direct connection dies and the relayed one lives, another is made.
func TestPunchedAgain(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	relayed := connectRelayed(t, relay, a, b)
	for side, h := range map[string]host.Host{"initiator": b, "responder": a} {
		first, err := DirectConnect(testContext(t), b, a.ID())
		if err != nil {
			t.Fatal(err)
		}
		if h == b {
			first.Close()
		} else {
			c, err := DirectConnect(testContext(t), a, b.ID())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		awaitConns(t, b, "another direct connection after the "+side+"'s died", func() bool {
			c := directConn(b, a.ID())
			return c != nil && c != first
		})
	}
	if relayed.IsClosed() {
		t.Error("the relayed connection was closed")
	}
}

// The time between attempts doubles, up to a bound; the first after a death is short.
func TestRepetition(t *testing.T) {
	tr := &Transport{}
	tr.ctx, tr.cancel = context.WithCancel(context.Background())
	tr.cancel()
	w, l := &watcher{t: tr}, &link{}
	defer l.disarm()
	var waits []time.Duration
	w.repeat(l, lostWait)
	waits = append(waits, l.wait)
	for range 6 {
		w.repeat(l, failedWait)
		waits = append(waits, l.wait)
	}
	if got, want := fmt.Sprint(waits), "[1s 30s 1m0s 2m0s 4m0s 5m0s 5m0s]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Not for each reason is there any sense in repetition.
func TestPassing(t *testing.T) {
	for err, want := range map[error]bool{
		holepunch.ErrBusy:                           true,
		holepunch.ErrNoAnswer:                       true,
		holepunch.ErrNoConnection:                   true,
		context.DeadlineExceeded:                    true,
		fmt.Errorf("dial: %w", ErrPeerUnsupported):  false,
		fmt.Errorf("%w", holepunch.ErrPortFiltered): false,
		ErrGated: false,
	} {
		if passing(err) != want {
			t.Errorf("%v: %t, want %t", err, !want, want)
		}
	}
}
