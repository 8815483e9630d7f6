package holepunch

import "fmt"

// A Status says in the signalling how an attempt ended, or why it will not begin. The values are
// those on the wire.
type Status int32

// The statuses of [Protocol].
const (
	StatusOK          Status = iota
	StatusMalformed          // the message was not understood
	StatusNoAddress          // the sender has no address at which it could be reached
	StatusNoCandidate        // none of the candidates may be dialled
	StatusBusy               // too many attempts are under way, or were made in a short time
	StatusGlare              // the sender is the initiator, and its own OFFER is on the way
	StatusFailed             // no connection came up in time, or none became usable
	StatusCancelled          // the sender's caller gave up
	StatusImpossible         // the two NATs allow no connection
	StatusDeclined           // the sender wants no direct connection with this peer
	StatusNoProtocol         // the two sides have no handshake protocol in common
)

// statuses has the name of each status on the wire, and the reason that it means to a peer that is
// told it.
var statuses = []struct {
	name   string
	reason Reason
}{
	StatusOK:          {"OK", ""},
	StatusMalformed:   {"MALFORMED", ErrMalformed},
	StatusNoAddress:   {"NO_ADDRESS", ErrNoAddress},
	StatusNoCandidate: {"NO_CANDIDATE", ErrNoCandidate},
	StatusBusy:        {"BUSY", ErrBusy},
	StatusGlare:       {"GLARE", ErrGlare},
	StatusFailed:      {"FAILED", ErrNoConnection},
	StatusCancelled:   {"CANCELLED", ""},
	StatusImpossible:  {"IMPOSSIBLE", ErrNoConnection}, // unless the behaviours tell more
	StatusDeclined:    {"DECLINED", ErrDeclined},
	StatusNoProtocol:  {"NO_PROTOCOL", ErrNoProtocol},
}

// String returns the name on the wire, such as "BUSY".
func (s Status) String() string {
	if s.known() {
		return statuses[s].name
	}
	return fmt.Sprintf("status %d", int32(s))
}

// reason returns what the status means to a peer that is told it, or "". A status of a later version
// is a failure like any other.
func (s Status) reason() Reason {
	if s.known() {
		return statuses[s].reason
	}
	return ErrNoConnection
}

func (s Status) known() bool { return s >= 0 && int(s) < len(statuses) }
