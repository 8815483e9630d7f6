package natlab

import "time"

// inboundICMP translates an ICMP error about a packet that went out, and the quoted packet in it
// (RFC 5508, REQ-4). The session continues (RFC 5382, REQ-9).
func (n *NAT) inboundICMP(now time.Time, p Packet) Verdict {
	q, ok := p.quoted()
	if !ok {
		return drop("protocol")
	}
	for _, m := range n.mappings(now, port{q.proto, q.Src()}) {
		if m.session(now, q.Dst()) != nil {
			q.setSrc(m.flow.internal)
			p.setDst(m.flow.internal)
			p.setICMPChecksum()
			return Verdict{Fate: Forwarded, Packet: p.b}
		}
	}
	return drop("no session")
}

// outboundICMP translates an ICMP error from inside about a packet that came in (RFC 5508, REQ-5).
func (n *NAT) outboundICMP(now time.Time, p Packet) Verdict {
	q, ok := p.quoted()
	if !ok {
		return drop("protocol")
	}
	m := n.lookup(now, tuple{q.proto, q.Dst(), q.Src()})
	if m.session(now, q.Src()) == nil {
		return drop("no session")
	}
	q.setDst(m.port.endpoint)
	p.setSrc(m.port.endpoint)
	p.setICMPChecksum()
	return Verdict{Fate: Forwarded, Packet: p.b}
}
