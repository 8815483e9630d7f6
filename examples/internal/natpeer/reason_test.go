package natpeer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

func TestExplain(t *testing.T) {
	punch := &holepunch.PunchError{
		Op:     "open",
		Remote: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4001")},
		Err: fmt.Errorf("%w: %w",
			&holepunch.RemoteError{Status: holepunch.StatusFailed, Detail: "no answer"}, holepunch.ErrNoConnection),
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{context.Canceled, "interrupted"},
		{fmt.Errorf("dial: %w", transport.ErrClosed), "interrupted"},
		{transport.ErrPeerUnsupported, "does not speak /simopen/1.0.0"},
		{fmt.Errorf("%w: %w", transport.ErrNoReflexiveAddress, errors.New("refused")), "this side does not know its address: no reflexive address: no STUN server answered, and no relay reported it: refused"},
		{&holepunch.RemoteError{Status: holepunch.StatusNoAddress}, "the other side does not know its address"},
		{&holepunch.RemoteError{Status: holepunch.StatusNoCandidate, Detail: "private"}, `does not connect to this side's addresses: "private"`},
		{&holepunch.RemoteError{Status: holepunch.StatusBusy}, "try again later"},
		{&holepunch.RemoteError{Status: holepunch.StatusFailed, Detail: "gone"}, "gone"},
		{holepunch.ErrNoAnswer, "does not answer"},
		{holepunch.ErrSignalLost, "relayed connection broke"},
		{holepunch.ErrNoCandidate, "cannot be connected to"},
		{&holepunch.PunchError{Op: "open", Err: holepunch.ErrHandshake}, "none could be secured as the other side's: no connection"},
		{punch, "no connection to 192.0.2.1:4001 came up in time"},
		{errors.New("one\ntwo"), "one; two"},
	} {
		for _, err := range []error{test.err, wrap(test.err)} {
			if got := Explain(err); !strings.Contains(got, test.want) || (got == "") != (err == nil) || strings.Contains(got, "simopen: direct") {
				t.Errorf("%v: got %q, want %q", err, got, test.want)
			}
		}
	}
}

// wrap makes of err what [transport.DirectConnect] returns.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return &transport.Error{Op: "direct connect", Peer: "peer", Err: err}
}
