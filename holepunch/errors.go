package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// Reasons of a [PunchError] that a caller may act on, for [errors.Is].
var (
	// ErrSignalLost: the relayed connection or its stream ended in the middle
	// of the signalling. A new relayed connection can try again.
	ErrSignalLost = errors.New("signalling over the relayed connection was lost")

	// ErrMalformed: the peer sent what is not a message of /simopen/1.0.0, or
	// one beyond its bounds. Trying again will not help.
	ErrMalformed = errors.New("malformed signalling message")

	// ErrNoAnswer: the peer is silent, although the relayed connection is
	// there. It may be busy with something else.
	ErrNoAnswer = errors.New("the peer did not answer")

	// ErrNoAddress: a peer does not know its own reflexive address.
	ErrNoAddress = errors.New("no reflexive address")

	// ErrNoCandidate: the peer named no address that may be dialled; see
	// [Admissible].
	ErrNoCandidate = errors.New("no candidate that may be dialled")

	// ErrBusy: as many attempts as the limits allow are under way.
	ErrBusy = errors.New("too many attempts under way")

	// ErrNoConnection: no TCP connection came up in time. SYNs were sent, and
	// at least one NAT let none of them in.
	ErrNoConnection = errors.New("no connection came up")

	// ErrHandshake: connections came up, but none proved to be the peer's.
	ErrHandshake = errors.New("no connection that came up was secured as the peer's")
)

// A PunchError is the failure of one step of an attempt. What to do about it
// is in Err: match it with [errors.Is] against this package's sentinels and
// the context's errors, or with [errors.As] against [*RemoteError].
type PunchError struct {
	Op       string           // "offer", "request", "receive", "answer" or "open"
	Local    uint16           // local port of the punch; 0 during signalling
	Remote   []netip.AddrPort // candidates of the peer that were tried
	Attempts int              // connects that were begun, in all; the kernel repeats the SYN of one
	Err      error
}

func (e *PunchError) Error() string {
	var b strings.Builder
	b.WriteString("simopen: ")
	b.WriteString(e.Op)
	if e.Local != 0 {
		fmt.Fprintf(&b, " from port %d", e.Local)
	}
	if len(e.Remote) > 0 {
		fmt.Fprintf(&b, " to %v (%d connects)", e.Remote, e.Attempts)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

func (e *PunchError) Unwrap() error { return e.Err }

// A RemoteError is what the peer gave as reason for refusing or ending an
// attempt.
type RemoteError struct {
	Status pb.Status
	Detail string // the peer's words, at most 256 bytes; not to be trusted
}

func (e *RemoteError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("peer says %s", e.Status)
	}
	return fmt.Sprintf("peer says %s: %q", e.Status, e.Detail)
}

// Is reports a status as the sentinel of the same meaning.
func (e *RemoteError) Is(target error) bool {
	switch e.Status {
	case pb.Status_BUSY:
		return target == ErrBusy
	case pb.Status_NO_ADDRESS:
		return target == ErrNoAddress
	case pb.Status_NO_CANDIDATE:
		return target == ErrNoCandidate
	case pb.Status_FAILED:
		return target == ErrNoConnection
	case pb.Status_MALFORMED:
		return target == ErrMalformed
	}
	return false
}
