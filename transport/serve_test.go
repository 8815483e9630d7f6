package transport

import (
	"errors"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestConnectedThere: a responder that is left without the connection that the initiator
// has knows no more than that none came up here. That is a reason all the same.
func TestConnectedThere(t *testing.T) {
	err := (&attempt{}).explain(errConnectedThere)
	if !errors.Is(err, errConnectedThere) || holepunch.ReasonOf(err) != holepunch.ErrNoConnection {
		t.Errorf("got %v, with the reason %q", err, holepunch.ReasonOf(err))
	}
}
