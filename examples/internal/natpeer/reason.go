package natpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// Explain returns in one line what an error means to the user of the program, or "" for nil.
func Explain(err error) string {
	var outer *transport.Error
	if errors.As(err, &outer) {
		err = outer.Err // whom it was about to connect to is no news
	}
	var refused *holepunch.RemoteError
	var punch *holepunch.PunchError
	reason := holepunch.ReasonOf(err)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled) || errors.Is(err, transport.ErrClosed):
		return "interrupted"
	case impossible[reason] && errors.As(err, &punch):
		return console.OneLine(punch.Err)
	case reason == holepunch.ErrNoConnection && errors.As(err, &punch):
		// Also when the other side was the first to say so.
		return fmt.Sprintf("no connection to %s came up in time: as far as is known these NATs allow one; natcheck on both sides may tell more",
			list(punch.Remote))
	case reason == holepunch.ErrHandshake && errors.As(err, &punch):
		return "TCP connections came up, but none could be secured as the other side's: " + console.OneLine(punch.Err)
	case errors.As(err, &refused):
		return explainRefusal(refused)
	case errors.Is(err, transport.ErrPeerUnsupported):
		return "the other side does not speak " + holepunch.Protocol
	case errors.Is(err, holepunch.ErrNoAddress):
		return "this side does not know its address: " + console.OneLine(err)
	case errors.Is(err, holepunch.ErrNoAnswer):
		return "the relayed connection is up, but the other side does not answer"
	case errors.Is(err, transport.ErrNoRelayedConn) || errors.Is(err, holepunch.ErrSignalLost):
		return "the relayed connection broke before the peers knew each other's addresses"
	case errors.Is(err, holepunch.ErrNoCandidate):
		return "the other side's addresses cannot be connected to: " + console.OneLine(err)
	}
	return console.OneLine(err)
}

// impossible are the reasons that two NATs give; the error has their behaviours.
var impossible = map[holepunch.Reason]bool{
	holepunch.ErrUnpredictable:  true,
	holepunch.ErrPortFiltered:   true,
	holepunch.ErrNoBareSYN:      true,
	holepunch.ErrNoHairpin:      true,
	holepunch.ErrEgressFiltered: true,
}

// explainRefusal explains what the other side means by its status.
func explainRefusal(e *holepunch.RemoteError) string {
	detail := ""
	if e.Detail != "" {
		detail = fmt.Sprintf(": %q", e.Detail)
	}
	switch e.Status {
	case holepunch.StatusNoAddress:
		return "the other side does not know its address" + detail
	case holepunch.StatusNoCandidate:
		return "the other side does not connect to this side's addresses" + detail
	case holepunch.StatusBusy:
		return "the other side has too many attempts, under way or in a short time; try again later"
	default:
		return e.Error()
	}
}

// Cause returns the part of a failed dial that says most: the swarm's error has a line for each
// address, and the names of all layers in each.
func Cause(err error) error {
	var mismatch sec.ErrPeerIDMismatch
	if errors.As(err, &mismatch) {
		return fmt.Errorf("the peer there is %s", mismatch.Actual)
	}
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		err = dial.DialErrors[0].Cause
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err
}

func list[T fmt.Stringer](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return strings.Join(texts, ", ")
}
