package punch

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// listenSilent binds a port that ignores SYNs, as a peer does whose NAT drops them.
func listenSilent(t *testing.T) (*tcpport.SilentPort, netip.AddrPort) {
	t.Helper()
	s, err := tcpport.ListenSilent(localhost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, netip.AddrPortFrom(localhost, s.Number())
}

// TestSharedTupleConnected: where the SYNs cross, the peer has connected as well and shows its
// token at once. The first connection is the one, whichever attempt has connected it.
func TestSharedTupleConnected(t *testing.T) {
	t.Parallel()
	for name, liarFirst := range map[string]bool{"liar first": true, "liar second": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			host, peer := newSide(t), newSide(t)
			silent, addr := listenSilent(t)
			a, b := host.attempt(t, true), peer.attempt(t, false)
			introduce(a, b)
			l := host.liar(t)
			times := *quick
			times.minTokenWait, times.maxTokenWait = testTimeout, testTimeout
			first, second := a, l
			if liarFirst {
				first, second = l, a
			}
			for _, x := range []*attempt{first, second} {
				x.round.times = &times
				x.open(ctx, addr)
				untilTaken(ctx, host.port, addr)
			}
			c, err := silent.Connect(ctx, host.addr)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- b.stream.Serve(c, false) }()
			wantSame(t, a, b)
			if err := <-served; err != nil {
				t.Errorf("the peer's first connection is not the one: %v", err)
			}
			if accepted := <-a.served; !accepted || len(a.served) > 0 || len(l.served) > 0 {
				t.Error("the connection was not attributed by its token")
			}
		})
	}
}

// untilTaken waits until a SYN is on its way to an address that does not answer.
func untilTaken(ctx context.Context, port *tcpport.Port, to netip.AddrPort) {
	for sleep(ctx, 10*time.Millisecond) { // or else this one has the 4-tuple all the time
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		_, err := port.Connect(short, to)
		cancel()
		if errors.Is(err, tcpport.ErrTupleTaken) {
			return
		}
	}
}
