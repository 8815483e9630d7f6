package transport

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// Reasons of an [*Error] that a caller may act on, for [errors.Is] and
// [holepunch.ReasonOf]. Those of the punch itself are [holepunch.ErrNoConnection]
// and its neighbours.
const (
	// ErrNotEnabled: the host was built without [Enable] or [Attach].
	ErrNotEnabled holepunch.Reason = "simopen is not enabled on this host"

	// ErrClosed: the host is closing.
	ErrClosed holepunch.Reason = "simopen is closed"

	// ErrNoRelayedConn: there is no relayed connection to the peer to signal
	// over.
	ErrNoRelayedConn holepunch.Reason = "no relayed connection to the peer: connect to it through a relay first"

	// ErrPeerUnsupported: the peer does not speak /simopen/1.0.0.
	ErrPeerUnsupported holepunch.Reason = "peer does not support simopen"

	// ErrGlare: both peers offered at the same time, and the other, which has
	// the lower peer ID, is the initiator. Its connection comes in as inbound.
	ErrGlare holepunch.Reason = "the peer is initiating itself"

	// ErrPeerFiltered: this host's peer filter, see [WithPeerFilter], refuses the peer.
	ErrPeerFiltered holepunch.Reason = "the peer filter of this host refuses the peer"

	// ErrGated: the connection gater refused.
	ErrGated holepunch.Reason = "refused by the connection gater"
)

// These are kinds of [holepunch.ErrNoAddress].
var (
	// ErrNoSTUNServer: no STUN server is configured, see [WithSTUNServers], and no
	// relay told our address in its place. The [*Error] of each relay is in the
	// chain.
	ErrNoSTUNServer = fmt.Errorf("%w: no STUN server is configured (WithSTUNServers), and no relay told it", holepunch.ErrNoAddress)

	// ErrNoReflexiveAddress: neither one of the STUN servers that are configured
	// told our address, nor a relay. The [*stun.Error] of each server and the
	// [*Error] of each relay is in the chain.
	ErrNoReflexiveAddress = fmt.Errorf("%w: no STUN server answered, and no relay told it", holepunch.ErrNoAddress)
)

// An Error is the failure to get a direct connection to a peer, or an address from
// it. The relayed connection is as it was. [holepunch.ReasonOf] tells why; the chain has
// a [*holepunch.PunchError] if the attempt got as far as signalling.
type Error struct {
	Op   string // "dial", "respond", "direct connect" or "observe", which asks a relay for our address
	Peer peer.ID
	Err  error
}

// Error names what was tried, the peer, and the reason.
func (e *Error) Error() string {
	return fmt.Sprintf("simopen: %s %s: %v", e.Op, e.Peer, e.Err)
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

// tell tells the peer how an attempt ended. When SYNs were sent and there is no connection it says that, and nothing
// more: the addresses were of the peer's choice, and whether somebody else was there is what
// a scan finds out. What the peer itself has said is no news to it.
func tell(s *holepunch.Signal, err error) {
	var remote *holepunch.RemoteError
	punched := errors.Is(err, holepunch.ErrHandshake) || errors.Is(err, holepunch.ErrNoConnection)
	if punched && !errors.As(err, &remote) {
		err = holepunch.ErrNoConnection
	}
	s.Done(err, words(err))
}

// words is what a peer, a stranger, is told of the reason why an attempt failed:
// no addresses, and no names. What came of a punch is for tell.
func words(err error) string {
	for _, reason := range []error{
		ErrNoSTUNServer,
		ErrNoReflexiveAddress,
		ErrGated,
		network.ErrResourceLimitExceeded,
		ErrNoRelayedConn,
		holepunch.ErrUnpredictable,
		holepunch.ErrPortFiltered,
		holepunch.ErrNoBareSYN,
		holepunch.ErrNoHairpin,
		holepunch.ErrNoCandidate,
		holepunch.ErrBusy,
		holepunch.ErrNoSocket,
		holepunch.ErrNoConnection,
	} {
		if errors.Is(err, reason) {
			return reason.Error()
		}
	}
	return ""
}

// noPart is the status by which a host refuses an OFFER that it cannot take part in.
func noPart(err error) pb.Status {
	if errors.Is(err, holepunch.ErrNoSocket) || errors.Is(err, holepunch.ErrBusy) {
		return pb.Status_BUSY
	}
	return pb.Status_NO_ADDRESS
}

// openPort is [tcpport.Open] with the reason for which there is no port.
func openPort() (*tcpport.Port, error) {
	p, err := tcpport.Open()
	if errors.Is(err, tcpport.ErrShort) {
		err = fmt.Errorf("%w: %w", holepunch.ErrNoSocket, err)
	}
	return p, err
}

// isImpossible tells a failure that the two NATs are the reason of, before any SYN.
func isImpossible(err error) bool {
	return errors.Is(err, holepunch.ErrUnpredictable) || errors.Is(err, holepunch.ErrPortFiltered) ||
		errors.Is(err, holepunch.ErrNoBareSYN)
}
