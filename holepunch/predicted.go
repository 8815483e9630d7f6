package holepunch

import (
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// predictions is how many ports are foretold of a NAT that gives them in
// sequence. A peer learns the last one used some 100 to 300 ms before its first
// SYN, and a home's other traffic opens a connection or few meanwhile. Where both
// sides foretell, more would not help: each of our SYNs takes the next port.
const predictions = 5

// Foretell makes candidates of the five ports that a NAT gives next, after the last
// that was seen, with a step between any two. Ports go round within 1024 to
// 65535.
func Foretell(last netip.AddrPort, step int) []Candidate {
	cs := make([]Candidate, predictions)
	port := int(last.Port())
	for i := range cs {
		const count = 1<<16 - minPort
		port = minPort + ((port-minPort+step)%count+count)%count
		cs[i] = Candidate{Kind: pb.Candidate_PREDICTED, Addr: netip.AddrPortFrom(last.Addr(), uint16(port))}
	}
	return cs
}
