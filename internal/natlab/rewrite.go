package natlab

import (
	"encoding/binary"
	"net/netip"
)

// setSrc rewrites the source in place, checksums included. The port is not written if the packet
// has none.
func (p Packet) setSrc(to netip.AddrPort) { p.setEndpoint(0, to) }

// setDst rewrites the destination, as setSrc does the source.
func (p Packet) setDst(to netip.AddrPort) { p.setEndpoint(1, to) }

func (p Packet) setEndpoint(n int, to netip.AddrPort) {
	field := p.addrField(n)
	addr := to.Addr().AsSlice()
	if p.ipv4() {
		amend(p.b[10:12], field, addr)
	}
	p.amendTransport(field, addr) // the pseudo header has the address
	copy(field, addr)

	if p.hasPorts() {
		port := binary.BigEndian.AppendUint16(nil, to.Port())
		p.amendTransport(p.portField(n), port)
		copy(p.portField(n), port)
	}
}

// amendTransport corrects the transport checksum, if there is one. A quoted packet may end before
// it. A fragment is left alone.
func (p Packet) amendTransport(old, new []byte) {
	var at int
	switch {
	case p.fragment:
		return
	case p.proto == protoTCP:
		at = p.transport + 16
	case p.proto == protoUDP:
		at = p.transport + 6
	case p.proto == protoICMPv6:
		at = p.transport + 2
	default:
		return
	}
	if len(p.b) < at+2 {
		return
	}
	field := p.b[at : at+2]
	if p.proto == protoUDP && field[0] == 0 && field[1] == 0 {
		return // sent without one, RFC 768
	}
	amend(field, old, new)
	if p.proto == protoUDP && field[0] == 0 && field[1] == 0 {
		field[0], field[1] = 0xff, 0xff
	}
}
