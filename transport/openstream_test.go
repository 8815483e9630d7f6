package transport

import (
	"context"
	"errors"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestOpenStreamReason: a relayed connection that is lost just now is the reason of an attempt's end, and the end
// of its context stays that.
func TestOpenStreamReason(t *testing.T) {
	relay := newRelay(t)
	a, b := newPeer(t), newPeer(t)
	relayed := connectRelayed(t, relay, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openStream(ctx, relayed); !errors.Is(err, context.Canceled) || holepunch.ReasonOf(err) != "" {
		t.Errorf("got %v, want context.Canceled", err)
	}
	relayed.Close()
	if _, err := openStream(testContext(t), relayed); holepunch.ReasonOf(err) != holepunch.ErrSignalLost {
		t.Errorf("got %v, want ErrSignalLost", err)
	}
}
