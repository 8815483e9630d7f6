package natlab

import (
	"encoding/binary"
	"net/netip"
)

// resetFor returns the RST that refuses the SYN p, from p's destination (RFC 9293, section
// 3.10.7.1).
func resetFor(p Packet) []byte {
	return segment(p.Dst(), p.Src(), RST|ACK, 0, p.nextSequence(), "")
}

// payload returns the payload of a TCP segment.
func (p Packet) payload() []byte {
	header := p.b[p.transport:]
	return header[int(header[12]>>4)*4:]
}

// nextSequence returns the sequence number after a TCP segment (RFC 9293, section 3.4: SYN and FIN
// count).
func (p Packet) nextSequence() uint32 {
	next := binary.BigEndian.Uint32(p.b[p.transport+4:]) + uint32(len(p.payload()))
	for _, flag := range []uint8{SYN, FIN} {
		if p.Flags()&flag != 0 {
			next++
		}
	}
	return next
}

// segment makes a TCP segment.
func segment(src, dst netip.AddrPort, flags uint8, seq, ack uint32, payload string) []byte {
	const header = 20
	b := newPacket(protoTCP, src.Addr(), dst.Addr(), header+len(payload))
	p := Packet{b: b, proto: protoTCP, transport: len(b) - header - len(payload)}
	t := b[p.transport:]
	binary.BigEndian.PutUint16(t, src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], ack)
	t[12] = header / 4 << 4
	t[13] = flags
	binary.BigEndian.PutUint16(t[14:], 0xffff) // window
	copy(t[header:], payload)
	binary.BigEndian.PutUint16(t[16:], ^uint16(sum(p.pseudoHeader(), t)))
	return b
}
