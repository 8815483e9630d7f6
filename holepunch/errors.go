package holepunch

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// A PunchError is the failure of an attempt. What to do about it is in Err: match it with
// [errors.Is] against this package's reasons and the context's errors, or with [errors.As] against
// [*RemoteError].
type PunchError struct {
	Op       string           // the stage: "gather", "offer", "receive", "admit", "answer", "retry", "open" or "handshake"
	Local    uint16           // local port of the punch; 0 during signalling
	Remote   []netip.AddrPort // candidates of the peer that were tried, or to be tried
	Connects int              // how many connects were begun; the kernel may repeat the SYN of each
	Err      error
}

// Error returns all fields in one line. Its addresses are for the user, and are sent to no peer.
func (e *PunchError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Local != 0 {
		fmt.Fprintf(&b, " from port %d", e.Local)
	}
	if len(e.Remote) > 0 {
		fmt.Fprintf(&b, " to %v", e.Remote)
	}
	if e.Connects > 0 {
		fmt.Fprintf(&b, " (%d connects)", e.Connects)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns Err.
func (e *PunchError) Unwrap() error { return e.Err }

// Reason returns [ReasonOf] the error.
func (e *PunchError) Reason() Reason { return ReasonOf(e.Err) }

// A RemoteError is what the peer gave as the reason for refusing or ending an attempt. It matches
// the [Reason] that its status means. A failure with the status IMPOSSIBLE has this side's own
// reason in its place, if this side sees one in what the two NATs do.
type RemoteError struct {
	Status Status
	Detail string // the peer's words, at most 256 bytes; not to be trusted

	Behaviour stun.Behaviour // of the peer's NAT, if the status is IMPOSSIBLE
}

// Error returns the status, and the peer's words in quotes.
func (e *RemoteError) Error() string {
	switch {
	case e.Detail != "":
		return fmt.Sprintf("peer says %s: %q", e.Status, e.Detail)
	case e.Status.reason() != "":
		return fmt.Sprintf("peer says %s: %v", e.Status, e.Status.reason())
	default:
		return fmt.Sprintf("peer says %s", e.Status)
	}
}

// Unwrap returns the reason that the status means, if it means one.
func (e *RemoteError) Unwrap() error {
	if r := e.Status.reason(); r != "" {
		return r
	}
	return nil
}
