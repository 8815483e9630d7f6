package holepunch

import "net/netip"

// An EventKind says what happened during an attempt.
type EventKind string

// What is traced, in the usual order.
const (
	Offered       EventKind = "offered"        // both descriptions are known; the round's punch begins
	Connecting    EventKind = "connecting"     // a SYN leaves for Remote
	ConnectFailed EventKind = "connect failed" // Err is the kernel's
	Connected     EventKind = "connected"      // by our connect: the SYNs crossed, or ours came in first
	Accepted      EventKind = "accepted"       // by our listener: the peer's SYN came in first
	Dropped       EventKind = "dropped"        // a connection was given up; Err says why
	Chosen        EventKind = "chosen"         // the initiator chose the connection
	RoundFailed   EventKind = "round failed"   // a round is over, for the reason Err, and another begins
)

// An Event is one step of an attempt.
type Event struct {
	Kind   EventKind
	Local  uint16           // local port; of Offered and RoundFailed, the first of them
	Remote netip.AddrPort   // the other end
	Own    []netip.AddrPort // of Offered: our candidates
	Theirs []netip.AddrPort // of Offered: the peer's candidates that may be dialled
	Err    error
}
