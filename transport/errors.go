package transport

import (
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// Reasons of an [*Error] that a caller may act on, for [errors.Is] and [holepunch.ReasonOf]. Those
// of the punch itself are [holepunch.ErrNoConnection] and its neighbours.
const (
	// ErrNotEnabled: the host was built without [Enable] or [Attach].
	ErrNotEnabled holepunch.Reason = "not_enabled"

	// ErrNoRelayedConn: there is no relayed connection to the peer to signal over.
	ErrNoRelayedConn holepunch.Reason = "no_relayed_conn"

	// ErrPeerUnsupported: the peer does not speak [holepunch.Protocol].
	ErrPeerUnsupported holepunch.Reason = "peer_unsupported"

	// ErrClosed: the host is closing. It matches [net.ErrClosed] as well.
	ErrClosed = holepunch.ErrClosed

	// ErrGlare: both peers offered at the same time. The peer has the lower peer ID, so it is the
	// initiator, and its connection comes in as inbound.
	ErrGlare = holepunch.ErrGlare

	// ErrPeerFiltered: this host's peer filter ([WithPeerFilter]) refuses the peer.
	ErrPeerFiltered = holepunch.ErrPeerFiltered

	// ErrGated: the connection gater refused.
	ErrGated = holepunch.ErrGated
)

// These are kinds of [holepunch.ErrNoAddress].
var (
	// ErrNoSTUNServer: no STUN server is configured ([WithSTUNServers]), and no relay reported this
	// host's address in its place. The chain has each relay's error.
	ErrNoSTUNServer = fmt.Errorf("%w: no STUN server is configured (WithSTUNServers), and no relay reported it", holepunch.ErrNoAddress)

	// ErrNoReflexiveAddress: neither a configured STUN server nor a relay reported this host's
	// address. The chain has the error of each.
	ErrNoReflexiveAddress = fmt.Errorf("%w: no STUN server answered, and no relay reported it", holepunch.ErrNoAddress)
)

// An addressError says of a failure to learn the host's own address which kind it is.
type addressError struct{ kind, err error }

func (e *addressError) Error() string {
	kind := strings.TrimPrefix(e.kind.Error(), holepunch.ErrNoAddress.Error()+": ")
	return fmt.Sprintf("%v (%s)", e.err, kind)
}

func (e *addressError) Is(target error) bool { return target == e.kind }
func (e *addressError) Unwrap() error        { return e.err }

// explain adds the kind to a failure of the agent to learn the host's own address.
func (t *Transport) explain(err error) error {
	var own *holepunch.PunchError
	var remote *holepunch.RemoteError
	if !errors.As(err, &own) || own.Reason() != holepunch.ErrNoAddress || errors.As(err, &remote) {
		return err
	}
	kind := ErrNoReflexiveAddress
	if len(t.cfg.servers) == 0 {
		kind = ErrNoSTUNServer
	}
	return &addressError{kind, err}
}

// An Error is the failure to get a direct connection to a peer. The relayed connection stays as it
// was. [holepunch.ReasonOf] returns why. The chain has a [*holepunch.PunchError] if the attempt got
// as far as signalling.
type Error struct {
	Op   string // "dial", "respond" or "direct connect"
	Peer peer.ID
	Err  error
}

// Error names what was tried, the peer, and the reason.
func (e *Error) Error() string {
	return fmt.Sprintf("simopen: %s %s: %v", e.Op, e.Peer, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
