package punch

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A Step names what a [Trace] reports.
type Step string

// The steps of a punch, in the usual order.
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

// A Budget bounds the SYNs of an attempt.
type Budget interface {
	// Spend waits until a SYN may be sent to an address. It fails if ctx ends before.
	Spend(ctx context.Context, to netip.Addr) error
	// Pended reports that a connect that Spend admitted has been pending for d, in which the
	// kernel repeats the SYN once a second at the most.
	Pended(to netip.Addr, d time.Duration)
}

// A Guess is one side's part in guessing ports; see guess.go.
type Guess uint8

const (
	NoGuess    Guess = iota // the usual case
	GuessPorts              // tries ports at the peer's address
	OfferPorts              // makes mappings for the peer to hit
)

// A Round is one side's part in one round of a simultaneous open.
type Round struct {
	Ports     []*tcpport.Port // one at least, MaxPorts at most; all that has to do with NATs is about the first
	Remote    []Candidate     // of the peer; those of kind Listener are ignored
	Initiator bool
	Passive   bool // the peer is to connect: begin after 4 s only
	Late      bool // the peer's NAT opens later: begin 40 ms (first port) and 160 ms (second port) late
	Guess     Guess

	// Receiver gets what the ports that OfferPorts opens accept, and knows which 4-tuples more
	// than one attempt connects.
	Receiver *Receiver

	// Serve is called with each connection that a connect brought up, and returns when it was
	// chosen (nil) or dropped. It is [Stream.Serve] with accepted false. After an error the
	// connect is repeated, later each time.
	Serve func(*net.TCPConn) error

	Budget Budget // nil for none
	Trace  Trace  // nil for none
}

// An Opening is a Round under way. Its methods may be called from any goroutine.
type Opening struct{}

// Open begins to connect. Connects end with ctx; Wait must be called.
func Open(ctx context.Context, r Round) *Opening { panic("contract") }

// Add adds candidates of the peer to the round.
func (o *Opening) Add(cs []Candidate) { panic("contract") }

// Cross begins to connect the crossed candidate pairs, unless a SYN was refused or a connection
// has come up.
func (o *Opening) Cross() { panic("contract") }

// Wait waits until all connects and calls of Serve have ended, and returns what came of them. To
// end them, the caller ends the context and the stream.
func (o *Opening) Wait() Result { panic("contract") }

// A Result is what came of an Opening's connects.
type Result struct {
	Connects int   // that were begun, in all
	Refused  int   // of them, with a RST
	Up       int   // connections that connects brought up
	Err      error // the most telling error of a connect: not a timeout if there is another; nil for none
	Dropped  error // why the last connection that a connect brought up was of no use; nil for none
}

// MayCross returns how long an initiator gives the pairs of ports before it sends CROSS, by the
// round trip over the relay.
func CrossDelay(relayedRTT time.Duration) time.Duration { panic("contract") }
