package holepunch

import "net/netip"

// An EventKind says what happened during an attempt.
type EventKind string

// What is traced, in the usual order.
const (
	Connecting    EventKind = "connecting"     // a SYN leaves for Remote
	ConnectFailed EventKind = "connect failed" // Err is the kernel's
	Connected     EventKind = "connected"      // by our connect: the SYNs crossed, or ours came in first
	Accepted      EventKind = "accepted"       // by our listener: the peer's SYN came in first
	Unsecured     EventKind = "unsecured"      // a connection was given up; Err says why
	Secured       EventKind = "secured"        // the handshake proved that it is the peer
)

// An Event is one step of a punch.
type Event struct {
	Kind   EventKind
	Local  uint16         // local port
	Remote netip.AddrPort // address of the other end
	Err    error
}
