package punch

import "net/netip"

// A Step names what a [Trace] reports.
type Step string

// The steps of a punch, in the usual order. An [Opening] reports the first two, a [Stream] the
// others.
const (
	Connecting    Step = "connecting"     // a SYN leaves for the remote address
	ConnectFailed Step = "connect failed" // err is the kernel's
	Connected     Step = "connected"      // by a connect: the SYNs crossed, or ours came in first
	Accepted      Step = "accepted"       // by the listener: the peer's SYN came in first; its token was right
	Dropped       Step = "dropped"        // a connection was given up; err says why
	Chosen        Step = "chosen"         // a connection was chosen by the initiator
)

// A Trace reports one step. Calls come from several goroutines.
type Trace func(step Step, localPort uint16, remote netip.AddrPort, err error)
