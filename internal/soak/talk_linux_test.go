package soak

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A command is what the test asks of a child process: to "work" and to "rest", to take a "sample",
// to show its "stacks", and to be short of file descriptors and no longer, "few files" and "many
// files", and to have its "wall clock" ahead.
type command struct {
	Do   string
	Base int           `json:",omitempty"` // of "sample": as many goroutines as it is expected to have
	Jump time.Duration `json:",omitempty"` // of "wall clock"
}

// A report is what a child tells: the end of a punch or of a round as they come, and one
// answer to each command.
type report struct {
	Ready bool   `json:",omitempty"`
	Punch *punch `json:",omitempty"`
	Round *round `json:",omitempty"`

	Did    string  `json:",omitempty"` // the command
	Err    string  `json:",omitempty"`
	Sample *sample `json:",omitempty"`
	Text   string  `json:",omitempty"`
}

// A punch is a transport.EvtPunchFinished.
type punch struct {
	Initiator bool
	Reason    holepunch.Reason
	Err       string
	Took      time.Duration
}

// A round is the outcome of dialling a peer once.
type round struct {
	Peer, Relay peer.ID
	Took        time.Duration
	Began       time.Time `json:"-"` // by the test's clock, as the peer's may jump
	Ended       time.Time `json:"-"`

	Unrelayed  string // why there was no relayed connection, and so no more of the round
	Tries      []try
	Transfers  []transfer
	RelayedErr string // why the stream on the relayed connection ended early
}

// A try is a call of transport.DirectConnect.
type try struct {
	Direct bool
	Reason holepunch.Reason
	Err    string
	Took   time.Duration
}
