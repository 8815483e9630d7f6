package holepunch

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A Reason says why there is no direct connection. Its value is a stable code, such as
// "no_connection": programs switch on it and label metrics with it. Its Error is a sentence, which
// may change. [errors.Is] finds a Reason in an error that wraps it, and [ReasonOf] returns the
// outermost. docs/troubleshooting.md has advice for each.
type Reason string

// What can go wrong.
const (
	// ErrSignalLost: the signalling stream, or what carries it, ended in the middle of the
	// signalling. A new one can try again.
	ErrSignalLost Reason = "signal_lost"

	// ErrMalformed: the peer sent what is not a message of [Protocol], or one beyond its bounds.
	ErrMalformed Reason = "malformed"

	// ErrNoAnswer: the peer is silent, although the stream is there. It may be busy with something
	// else.
	ErrNoAnswer Reason = "no_answer"

	// ErrNoAddress: a peer does not know its own reflexive address, or may not disclose it.
	ErrNoAddress Reason = "no_address"

	// ErrNoCandidate: the peer named no address that may be dialled.
	ErrNoCandidate Reason = "no_candidate"

	// ErrBusy: the [Limits] allow no more attempts, OFFERs or SYNs for now.
	ErrBusy Reason = "busy"

	// ErrDeclined: the peer wants no direct connection with this host. Its user has decided so.
	ErrDeclined Reason = "declined"

	// ErrNoSocket: this host is short of file descriptors, local ports or memory, and sent nothing.
	// It may have some again later.
	ErrNoSocket Reason = "no_socket"

	// ErrNoConnection: no TCP connection came up in time. SYNs were sent, and at least one NAT let
	// none of them in.
	ErrNoConnection Reason = "no_connection"

	// ErrHandshake: the handshake failed, or connections came up and none showed the attempt's
	// token.
	ErrHandshake Reason = "handshake"

	// ErrSmallPackets: the initiator has a connection, and its choice, or the end of the handshake,
	// has not arrived here: only small packets may get through. An attempt in which both sides set
	// Options.MaxSegment may succeed.
	ErrSmallPackets Reason = "small_packets"

	// ErrNoProtocol: the two sides have no handshake protocol in common.
	ErrNoProtocol Reason = "no_protocol"

	// ErrUnpredictable: both NATs give every destination another port, at random, and neither peer
	// can learn the other's port. See [Compatibility].
	ErrUnpredictable Reason = "unpredictable"

	// ErrPortFiltered: one NAT gives every destination another port, at random, and the other lets
	// in only the ports that were sent to. See [Compatibility].
	ErrPortFiltered Reason = "port_filtered"

	// ErrNoBareSYN: every way needs a bare SYN to come in at a NAT that lets none in, against RFC
	// 5382, REQ-2. No ordinary TCP socket gets through. See [Compatibility].
	ErrNoBareSYN Reason = "no_bare_syn"

	// ErrNoHairpin: both peers are behind the same NAT, which does not let them reach each other by
	// their external addresses. Their private addresses did not connect them either.
	ErrNoHairpin Reason = "no_hairpin"

	// ErrEgressFiltered: the network of one side, or the firewall on its host, lets connections out
	// to some ports only, such as 443, and the other side's SYNs do not get in; or there is no
	// route to the peer. An agent that has found a filter sends no SYNs for 5 minutes, and looks
	// again.
	ErrEgressFiltered Reason = "egress_filtered"

	// ErrGlare: both peers have offered, and the other one is the initiator. Package transport
	// decides that by the peer IDs. An agent knows none: two calls of [Agent.Dial] on one stream
	// both end with ErrGlare, so programs agree beforehand which of them dials.
	ErrGlare Reason = "glare"

	// ErrClosed: the agent is closed. It matches [net.ErrClosed] as well.
	ErrClosed Reason = "closed"

	// ErrElsewhere: the application has a connection to the peer by other means, see
	// Options.Elsewhere. It is not a failure.
	ErrElsewhere Reason = "elsewhere"

	// ErrGated: a connection gater of the application refused.
	ErrGated Reason = "gated"

	// ErrPeerFiltered: this host's own filter of peers refuses the peer.
	ErrPeerFiltered Reason = "peer_filtered"

	// ErrResourceLimit: the application's resource manager refused.
	ErrResourceLimit Reason = "resource_limit"
)

// These are declared by package transport.
const (
	notEnabled      Reason = "not_enabled"
	noRelayedConn   Reason = "no_relayed_conn"
	peerUnsupported Reason = "peer_unsupported"
)

// A reasonRow has all properties of a reason.
type reasonRow struct {
	Reason
	sentence string
	status   Status // what a peer is sent
	final    bool   // trying again will not help
	public   bool   // the sentence may be sent to a peer, which is a stranger
}

// reasons has a row for each reason.
var reasons = []reasonRow{
	{ErrSignalLost, "signalling with the peer was lost", StatusFailed, false, false},
	{ErrMalformed, "malformed signalling message", StatusMalformed, true, true},
	{ErrNoAnswer, "the peer did not answer", StatusFailed, false, false},
	{ErrNoAddress, "no reflexive address", StatusNoAddress, false, true},
	{ErrNoCandidate, "no candidate that may be dialled", StatusNoCandidate, true, true},
	{ErrBusy, "too many attempts, under way or in a short time", StatusBusy, false, true},
	{ErrDeclined, "the peer declines direct connections with this host", StatusDeclined, true, false},
	{ErrNoSocket, "this host is short of file descriptors, local ports or memory", StatusBusy, false, true},
	{ErrNoConnection, "no connection came up", StatusFailed, false, true},
	{ErrHandshake, "no connection that came up was secured as the peer's", StatusFailed, false, false},
	{ErrSmallPackets, "the initiator has a connection, and what it sends does not arrive here: only small packets may get through", StatusFailed, false, false},
	{ErrNoProtocol, "no handshake protocol in common", StatusNoProtocol, true, true},
	{ErrUnpredictable, "both NATs give every destination another port, at random", StatusImpossible, true, true},
	{ErrPortFiltered, "one NAT gives every destination another port, at random, and the other lets in only ports that were sent to", StatusImpossible, true, true},
	{ErrNoBareSYN, "no NAT lets in a bare SYN, as a simultaneous open needs", StatusImpossible, true, true},
	{ErrNoHairpin, "both peers are behind the same NAT, and it has no hairpinning", StatusImpossible, true, true},
	{ErrEgressFiltered, "the network of one side does not let such connections out", StatusImpossible, false, true},
	{ErrGlare, "the peer is initiating itself", StatusGlare, false, false},
	{ErrClosed, "the host or its agent is closed", StatusCancelled, true, false},
	{ErrElsewhere, "there is a connection by other means", StatusOK, true, false},
	{ErrGated, "refused by the connection gater", StatusNoCandidate, true, true},
	{ErrPeerFiltered, "the peer filter of this host refuses the peer", StatusDeclined, true, false},
	{ErrResourceLimit, "the resource manager of this host refuses", StatusBusy, false, true},
	{notEnabled, "simopen is not enabled on this host", StatusFailed, true, false},
	{noRelayedConn, "no relayed connection to the peer: connect to it through a relay first", StatusFailed, true, false},
	{peerUnsupported, "peer does not support simopen", StatusFailed, true, false},
}

// row returns the row of a reason. A reason that the table lacks is its own sentence, which is sent
// to no peer.
func (r Reason) row() reasonRow {
	i := slices.IndexFunc(reasons, func(row reasonRow) bool { return row.Reason == r })
	if i < 0 {
		return reasonRow{Reason: r, sentence: string(r), status: StatusFailed}
	}
	return reasons[i]
}

// Error returns the reason in words.
func (r Reason) Error() string { return r.row().sentence }

// Final reports whether trying again will not help.
func (r Reason) Final() bool { return r.row().final }

// Is reports whether target is [net.ErrClosed] and the reason is [ErrClosed].
func (r Reason) Is(target error) bool { return r == ErrClosed && target == net.ErrClosed }

// Reasons returns all reasons, those of package transport included.
func Reasons() []Reason {
	rs := make([]Reason, len(reasons))
	for i, row := range reasons {
		rs[i] = row.Reason
	}
	return rs
}

// ReasonOf returns the outermost reason in err, or "" if there is none, as in an error of the
// context.
func ReasonOf(err error) Reason {
	var r Reason
	errors.As(err, &r)
	return r
}

// roundError returns why a round has brought no connection.
func roundError(r punch.Result) error {
	told := r.Err
	if op := (*net.OpError)(nil); errors.As(told, &op) {
		told = op.Err // the addresses are in the PunchError
	}
	switch {
	case r.Dropped != nil:
		return uselessError(r.Dropped)
	case errors.Is(r.Err, ErrBusy) && r.Connects == 0: // a window may end with no SYN left, too
		return r.Err
	case errors.Is(r.Err, tcpport.ErrShort):
		return fmt.Errorf("%w: %w", ErrNoSocket, told)
	case r.Err != nil:
		return fmt.Errorf("%w: %w", ErrNoConnection, told)
	default:
		return fmt.Errorf("%w: no answer to our SYNs", ErrNoConnection)
	}
}

// useless has the likely causes of a connection that came up and was of no use, and what to do.
var useless = []struct {
	err    error
	advice string
}{
	{punch.ErrHungUp, "a proxy or a firewall accepts connections in the peer's place and closes them: take another network, or have it leave ports from 1024 up alone"},
	{punch.ErrPreamble, "something else answers in the peer's place, such as a captive portal or a proxy: log in to the network, or take another one"},
	{punch.ErrSilent, "a proxy or a firewall accepts connections in the peer's place and says nothing, or a NAT has forgotten them: try again, or take another network"},
}

// uselessError returns the error of a round whose connections were of no use, by why one of them
// was dropped.
func uselessError(dropped error) error {
	for _, u := range useless {
		if errors.Is(dropped, u.err) {
			return fmt.Errorf("%w: %w: %s", ErrHandshake, dropped, u.advice)
		}
	}
	return fmt.Errorf("%w: %w", ErrHandshake, dropped)
}

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

// statuses has the name of each status on the wire, and the reason that it means to the peer that
// receives it.
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
	StatusImpossible:  {"IMPOSSIBLE", ErrNoConnection}, // unless the behaviours show the reason
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

// reason returns the reason that the status means to the peer that receives it, or "". A status of
// a later version is a failure like any other.
func (s Status) reason() Reason {
	if s.known() {
		return statuses[s].reason
	}
	return ErrNoConnection
}

func (s Status) known() bool { return s >= 0 && int(s) < len(statuses) }
