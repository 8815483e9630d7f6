package natlab

import "slices"

// An Egress is what becomes of connections from inside to other TCP ports than 443 and 4001: those
// of HTTPS and of libp2p relays, which many networks leave open. What belongs to a session passes,
// whichever side began it.
type Egress uint8

const (
	EgressOpen Egress = iota // they pass
	EgressDrop               // no answer
	EgressRST                // a reset from the router, as if it were the destination's
	EgressICMP               // "administratively prohibited", from the router's inside address
)

// egressPorts are the TCP ports that every Egress lets out.
var egressPorts = []uint16{443, 4001}

// letsOut reports whether a packet may begin a session with its destination.
func (n *NAT) letsOut(p Packet) bool {
	return n.behaviour.Egress == EgressOpen || p.TCP() && slices.Contains(egressPorts, p.Dst().Port())
}

// refuseOut refuses to let out a packet. Only a bare SYN gets an answer.
func (n *NAT) refuseOut(p Packet) Verdict {
	const reason = "egress filter"
	switch {
	case !p.bareSYN() || n.behaviour.Egress == EgressDrop:
		return drop(reason)
	case n.behaviour.Egress == EgressRST:
		return Verdict{Fate: Answered, Reason: reason, Packet: resetFor(p)}
	default:
		return Verdict{Fate: Answered, Reason: reason, Packet: prohibitedFor(p, n.router)}
	}
}
