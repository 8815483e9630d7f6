package natlab

import (
	"encoding/binary"
	"net/netip"
)

// quoted returns the packet that an ICMP error is about, a view into the same bytes. ok is false if
// p is no ICMP error, or quotes no valid packet.
func (p Packet) quoted() (q Packet, ok bool) {
	if p.fragment || !p.icmpError() {
		return Packet{}, false
	}
	q, err := parse(p.b[p.transport+8:], true)
	return q, err == nil && q.ipv4() == p.ipv4()
}

func (p Packet) icmpError() bool {
	if p.proto == protoICMP && p.ipv4() {
		const unreachable, timeExceeded, parameterProblem = 3, 11, 12 // RFC 792
		t := p.b[p.transport]
		return t == unreachable || t == timeExceeded || t == parameterProblem
	}
	// RFC 4443, section 2.1: errors have the high bit clear.
	return p.proto == protoICMPv6 && !p.ipv4() && p.b[p.transport] < 128
}

// setICMPChecksum recomputes the checksum after the quoted packet has changed.
func (p Packet) setICMPChecksum() {
	msg := p.b[p.transport:]
	field := msg[2:4]
	field[0], field[1] = 0, 0
	var acc uint32
	if p.proto == protoICMPv6 {
		acc = p.pseudoHeader()
	}
	binary.BigEndian.PutUint16(field, ^uint16(sum(acc, msg)))
}

// pseudoHeader returns the ones' complement sum of the pseudo header (RFC 9293 section 3.1, RFC
// 8200 section 8.1).
func (p Packet) pseudoHeader() uint32 {
	acc := sum(0, p.addrField(0))
	acc = sum(acc, p.addrField(1))
	n := uint32(len(p.b) - p.transport)
	return acc + uint32(p.proto) + n>>16 + n&0xffff
}

// Codes of the ICMP error "destination unreachable" in IPv4 (RFC 792, RFC 1812) and IPv6 (RFC
// 4443).
var (
	portUnreachable = icmpCode{3, 4}
	prohibited      = icmpCode{13, 1}
)

type icmpCode struct{ v4, v6 byte }

// unreachableFor returns the ICMP error "port unreachable" about p, from p's destination. RFC 5382
// REQ-4 asks for it, and Linux fails a connect with ECONNREFUSED on it.
func unreachableFor(p Packet) []byte { return icmpFor(p, p.Dst().Addr(), portUnreachable) }

// prohibitedFor returns the ICMP error "communication administratively prohibited" about p from a
// router. Linux fails a connect with EHOSTUNREACH on it, and in IPv6 with EACCES.
func prohibitedFor(p Packet, router netip.Addr) []byte { return icmpFor(p, router, prohibited) }

func icmpFor(p Packet, from netip.Addr, code icmpCode) []byte {
	proto, kind, room := uint8(protoICMP), [2]byte{3, code.v4}, 576-28 // RFC 1812, section 4.3.2.3
	if !p.ipv4() {
		proto, kind, room = protoICMPv6, [2]byte{1, code.v6}, 1280-48 // RFC 4443, section 3.1
	}
	quote := p.b[:min(len(p.b), room)]
	b := newPacket(proto, from, p.Src().Addr(), 8+len(quote))
	r := Packet{b: b, proto: proto, transport: len(b) - 8 - len(quote)}
	t := b[r.transport:]
	t[0], t[1] = kind[0], kind[1]
	copy(t[8:], quote)
	r.setICMPChecksum()
	return b
}

// newPacket makes an IP header with room for n bytes after it.
func newPacket(proto uint8, src, dst netip.Addr, n int) []byte {
	const ttl = 64
	if src.Is4() {
		b := make([]byte, 20+n)
		b[0] = 4<<4 | 5
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[6] = 0x40 // don't fragment
		b[8] = ttl
		b[9] = proto
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum(0, b[:20])))
		return b
	}
	b := make([]byte, 40+n)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	b[6] = proto
	b[7] = ttl
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return b
}
