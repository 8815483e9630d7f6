package pair

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// TestAttempts: only a refused connect counts as refused.
func TestAttempts(t *testing.T) {
	var got Event
	as := newAttempts(func(e Event) { got = e })
	step := func(kind holepunch.EventKind, err error) {
		as.trace(transport.Event{Peer: "peer", Kind: kind, Err: err})
	}
	step(transport.Offered, nil)
	for _, err := range []error{
		syscall.ECONNREFUSED,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		fmt.Errorf("dial: %w", os.ErrDeadlineExceeded),
		context.DeadlineExceeded,
		syscall.EHOSTUNREACH,
	} {
		step(holepunch.Connecting, nil)
		step(holepunch.ConnectFailed, err)
	}
	step(transport.Finished, nil)
	if got.Kind != Punched || got.Connects != 5 || got.Refused != 2 || got.Silent != 3 {
		t.Errorf("got %+v", got)
	}
}
