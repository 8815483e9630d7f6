package pair

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// A Kind says what happened.
type Kind string

// What happens, in the usual order.
const (
	Ready        Kind = "ready"        // at the relay, with a warm port: STUN; Err: why no STUN server answers
	Relayed      Kind = "relayed"      // the relayed connection is up
	Offered      Kind = "offered"      // each side knows the other's addresses: Own, Theirs
	Punched      Kind = "punched"      // the punch is over: Connects, Refused, Silent, Err
	Direct       Kind = "direct"       // the direct connection is up: Addr, Took since Relayed
	RelayedRTT   Kind = "relayed rtt"  // of the relayed connection: Took
	DirectRTT    Kind = "direct rtt"   // of the direct connection: Took
	Sending      Kind = "sending"      // so many Bytes are on the way
	Sent         Kind = "sent"         // Bytes were received by the other side: Took
	SentRelayed  Kind = "sent relayed" // the same, over the relayed connection
	Received     Kind = "received"     // Bytes came from the other side: Took; Err: why no more did
	Disconnected Kind = "disconnected" // from the relay, because of Err; it is tried again
)

// An Event is a step that one side has taken. It can be sent as JSON.
type Event struct {
	Kind     Kind           `json:"kind"`
	Time     time.Time      `json:"time"`
	Peer     peer.ID        `json:"peer,omitempty"`     // the other side; of Ready: this side
	STUN     []string       `json:"stun,omitempty"`     // the servers that answer
	Own      []ma.Multiaddr `json:"own,omitempty"`      // this side's reflexive addresses
	Theirs   []ma.Multiaddr `json:"theirs,omitempty"`   // the other side's
	Connects int            `json:"connects,omitempty"` // tried
	Refused  int            `json:"refused,omitempty"`  // of those
	Silent   int            `json:"silent,omitempty"`   // of those: failed without an answer
	Addr     ma.Multiaddr   `json:"addr,omitempty"`     // the other end of the connection
	Bytes    int64          `json:"bytes,omitempty"`
	Took     time.Duration  `json:"took,omitempty"`
	Err      string         `json:"err,omitempty"` // in plain words
}
