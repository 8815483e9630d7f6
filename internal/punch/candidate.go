package punch

import "net/netip"

// A Kind is how a candidate (RFC 8445) was learned, and which side connects to it. The values are
// those on the wire.
type Kind uint8

const (
	Reflexive Kind = 1 + iota // an address of a punching port as an observer saw it
	Predicted                 // where the punching port's next mapping is expected, the likeliest first
	Listener                  // a listener of the peer's application; never connected to by this package
	LAN                       // an address of the punching port within the peer's own network
)

// MaxCandidates is how many candidates one message may name. A peer has one reflexive address for
// each family and each external address of a carrier's NAT that its observers saw; eight is more
// than any, and bounds the SYNs that a message can cause.
const MaxCandidates = 8

// MaxPorts is how many local ports a peer punches from at most. With 5 % of the packets lost at
// each of two sites, the first SYNs of one port get through in 81 % of the cases, and of one of
// two in 96 %; a lost SYN costs a second. A third port gained nothing.
const MaxPorts = 2

// A Candidate is an address at which a peer may be reached, nearly always through its punching
// port.
type Candidate struct {
	Kind Kind
	Addr netip.AddrPort
	Port int // of a Reflexive candidate: which of the peer's ports it leads to, 0 to MaxPorts-1
}
