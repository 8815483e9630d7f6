package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// A Kind says what happened.
type Kind string

// What happens.
const (
	Ready     Kind = "ready"      // this side can be connected to: Peer is its own ID, Addr where it listens
	RelayLost Kind = "relay_lost" // the relay cannot be reached, because of Err; it is tried again
	RelayBack Kind = "relay_back" // after RelayLost

	Direct   Kind = "direct"    // a direct connection with the peer is up: Addr is its other end
	Relayed  Kind = "relayed"   // connections go over the relay from now on, because of Err
	Lost     Kind = "lost"      // the direct connection has ended
	NoDirect Kind = "no_direct" // there is no direct connection, because of Err

	Opened  Kind = "opened"  // a connection: Service, Client, Relayed
	Refused Kind = "refused" // a connection that was not opened, because of Err
	Closed  Kind = "closed"  // a connection that was opened: Sent, Received, Seconds; Err if it was cut
)

// An Event is something that happened. It can be printed as JSON.
type Event struct {
	Kind     Kind      `json:"event"`
	Time     time.Time `json:"time"`
	Peer     peer.ID   `json:"peer,omitempty"`
	Addr     string    `json:"addr,omitempty"`
	Service  string    `json:"service,omitempty"`
	Client   string    `json:"client,omitempty"` // the address of the local client
	Relayed  bool      `json:"relayed,omitempty"`
	Sent     int64     `json:"sent,omitempty"`     // bytes to the peer
	Received int64     `json:"received,omitempty"` // bytes from the peer
	Seconds  float64   `json:"seconds,omitempty"`
	Err      string    `json:"error,omitempty"`
}

// cutBy explains what cut a connection; local is what the local end leads to.
func cutBy(err error, local string) error {
	var tcp *net.OpError
	var stream *network.StreamError
	switch {
	case errors.As(err, &stream) && stream.Remote:
		return errResetThere
	case errors.Is(err, network.ErrReset), errors.Is(err, io.ErrUnexpectedEOF):
		return errPeerLost
	case errors.As(err, &tcp):
		return fmt.Errorf("%s: %w", local, tcp.Err)
	}
	return err
}

// unsupported reports whether the peer does not speak [Protocol]. Such a peer answers that, or
// resets the stream with a code; this side reads either.
func unsupported(err error) bool {
	var said msmux.ErrNotSupported[protocol.ID]
	return errors.As(err, &said) ||
		errors.Is(err, &network.StreamError{ErrorCode: network.StreamProtocolNegotiationFailed, Remote: true})
}
