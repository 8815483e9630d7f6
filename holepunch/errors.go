package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A Reason says why there is no direct connection. A program switches on it, and
// a person reads it; docs/nat.md has advice for each. Reasons are errors, so that
// [errors.Is] finds them in what wraps them, and [ReasonOf] returns the outermost.
type Reason string

// Error is the reason in words.
func (r Reason) Error() string { return string(r) }

// ReasonOf returns the reason in err, or "" if there is none: then err is
// something else's, such as the context's.
func ReasonOf(err error) Reason {
	var r Reason
	errors.As(err, &r)
	return r
}

// What can go wrong.
const (
	// ErrSignalLost: the relayed connection or its stream ended in the middle
	// of the signalling. A new relayed connection can try again.
	ErrSignalLost Reason = "signalling over the relayed connection was lost"

	// ErrMalformed: the peer sent what is not a message of /simopen/1.0.0, or
	// one beyond its bounds. Trying again will not help.
	ErrMalformed Reason = "malformed signalling message"

	// ErrNoAnswer: the peer is silent, although the relayed connection is
	// there. It may be busy with something else.
	ErrNoAnswer Reason = "the peer did not answer"

	// ErrNoAddress: a peer does not know its own reflexive address.
	ErrNoAddress Reason = "no reflexive address"

	// ErrNoCandidate: the peer named no address that may be dialled; see
	// [Admissible].
	ErrNoCandidate Reason = "no candidate that may be dialled"

	// ErrBusy: the [Limits] allow no more attempts, OFFERs or SYNs for now.
	ErrBusy Reason = "too many attempts, under way or in a short time"

	// ErrDeclined: the peer wants no direct connection with this host. Its user has
	// decided so.
	ErrDeclined Reason = "the peer declines direct connections with this host"

	// ErrNoSocket: this host is short of file descriptors, local ports or memory, and
	// sent nothing. It may have some again later.
	ErrNoSocket Reason = "this host is short of file descriptors, local ports or memory"

	// ErrNoConnection: no TCP connection came up in time. SYNs were sent, and
	// at least one NAT let none of them in.
	ErrNoConnection Reason = "no connection came up"

	// ErrHandshake: connections came up, but none proved to be the peer's.
	ErrHandshake Reason = "no connection that came up was secured as the peer's"

	// ErrUnpredictable: both NATs give every destination another port, at
	// random, and neither peer can be told where the other is. See [Predict].
	ErrUnpredictable Reason = "both NATs give every destination another port, at random"

	// ErrPortFiltered: one NAT gives every destination another port, at random,
	// and the other lets in the ports only that were sent to. See [Predict].
	ErrPortFiltered Reason = "one NAT gives every destination another port, at random, and the other lets in only ports that were sent to"

	// ErrNoBareSYN: no NAT that would have to lets a bare SYN in, against RFC
	// 5382 REQ-2. No ordinary TCP socket gets through. See [Predict].
	ErrNoBareSYN Reason = "no NAT lets in a bare SYN, as a simultaneous open needs"

	// ErrNoHairpin: both peers are behind the same NAT, which does not let them
	// reach each other by their external addresses, and their addresses within
	// do not reach either.
	ErrNoHairpin Reason = "both peers are behind the same NAT, and it has no hairpinning"
)

// A PunchError is the failure of one step of an attempt. What to do about it
// is in Err: match it with [errors.Is] against this package's sentinels and
// the context's errors, or with [errors.As] against [*RemoteError].
type PunchError struct {
	Op       string           // the stage: "offer", "request", "receive", "answer", "admit", "retry" or "open"
	Local    uint16           // local port of the punch; 0 during signalling
	Remote   []netip.AddrPort // candidates of the peer that were tried, or to be tried
	Attempts int              // connects that were begun, in all; the kernel repeats the SYN of one
	Err      error
}

// Error has all fields in one line. Its addresses are the user's business, and no peer's.
func (e *PunchError) Error() string {
	var b strings.Builder
	b.WriteString("simopen: ")
	b.WriteString(e.Op)
	if e.Local != 0 {
		fmt.Fprintf(&b, " from port %d", e.Local)
	}
	if len(e.Remote) > 0 {
		fmt.Fprintf(&b, " to %v", e.Remote)
	}
	if e.Attempts > 0 {
		fmt.Fprintf(&b, " (%d connects)", e.Attempts)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap is Err.
func (e *PunchError) Unwrap() error { return e.Err }

// Reason is [ReasonOf] the error.
func (e *PunchError) Reason() Reason { return ReasonOf(e.Err) }

// A RemoteError is what the peer gave as reason for refusing or ending an
// attempt.
type RemoteError struct {
	Status pb.Status
	Detail string // the peer's words, at most 256 bytes; not to be trusted

	Behaviour stun.Behaviour // of the peer's NAT, if the status is IMPOSSIBLE
}

// Error has the status, and the peer's words in quotes.
func (e *RemoteError) Error() string {
	switch {
	case e.Detail != "":
	case e.reason() != "":
		return fmt.Sprintf("peer says %s: %s", e.Status, e.reason())
	default:
		return fmt.Sprintf("peer says %s", e.Status)
	}
	return fmt.Sprintf("peer says %s: %q", e.Status, e.Detail)
}

// reason is what the status stands for, or "".
func (e *RemoteError) reason() Reason {
	switch e.Status {
	case pb.Status_BUSY:
		return ErrBusy
	case pb.Status_DECLINED:
		return ErrDeclined
	case pb.Status_NO_ADDRESS:
		return ErrNoAddress
	case pb.Status_NO_CANDIDATE:
		return ErrNoCandidate
	case pb.Status_FAILED, pb.Status_IMPOSSIBLE:
		return ErrNoConnection
	case pb.Status_MALFORMED:
		return ErrMalformed
	case pb.Status_OK, pb.Status_GLARE, pb.Status_CANCELLED:
		return ""
	}
	return ErrNoConnection // as any failure that a later version has a name for
}

// Is reports a status as the [Reason] of the same meaning.
func (e *RemoteError) Is(target error) bool {
	r := e.reason()
	return r != "" && target == r
}

// As gives a status as the [Reason] of the same meaning.
func (e *RemoteError) As(target any) bool {
	r, ok := target.(*Reason)
	if ok {
		*r = e.reason()
	}
	return ok && *r != ""
}
