package natlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// IP protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// TCP control bits (RFC 9293, section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

var (
	errTruncated = errors.New("natlab: truncated packet")
	errMalformed = errors.New("natlab: malformed packet")
)

// A Packet is a view of an IPv4 or IPv6 packet with complete headers, as [Parse] has checked.
type Packet struct {
	b         []byte // the packet, without what came after it
	proto     uint8
	transport int  // where the transport header starts
	fragment  bool // no transport header is read then
}

// Parse reads the headers of b, which the Packet keeps.
func Parse(b []byte) (Packet, error) { return parse(b, false) }

// parse reads a packet; quoted says that it is one inside an ICMP error, where the transport header
// may end after its first eight bytes (RFC 792).
func parse(b []byte, quoted bool) (Packet, error) {
	if len(b) == 0 {
		return Packet{}, errTruncated
	}
	p := Packet{b: b}
	var err error
	switch b[0] >> 4 {
	case 4:
		err = p.parseIPv4(quoted)
	case 6:
		err = p.parseIPv6(quoted)
	default:
		err = errMalformed
	}
	if err == nil && !p.fragment {
		err = p.checkTransport(quoted)
	}
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

func (p *Packet) parseIPv4(quoted bool) error {
	if len(p.b) < 20 {
		return errTruncated
	}
	p.transport = int(p.b[0]&0xf) * 4
	if p.transport < 20 {
		return errMalformed
	}
	p.proto = p.b[9]
	const moreFragmentsAndOffset = 0x3fff
	p.fragment = binary.BigEndian.Uint16(p.b[6:])&moreFragmentsAndOffset != 0
	return p.trim(int(binary.BigEndian.Uint16(p.b[2:])), quoted)
}

func (p *Packet) parseIPv6(quoted bool) error {
	if len(p.b) < 40 {
		return errTruncated
	}
	p.proto = p.b[6]
	p.transport = 40
	if err := p.trim(40+int(binary.BigEndian.Uint16(p.b[4:])), quoted); err != nil {
		return err
	}
	for { // extension headers, RFC 8200 section 4
		const hopByHop, routing, fragment, destination = 0, 43, 44, 60
		rest := p.b[p.transport:]
		switch p.proto {
		case hopByHop, routing, destination:
			if len(rest) < 8 || len(rest) < 8+8*int(rest[1]) {
				return errTruncated
			}
			p.proto = rest[0]
			p.transport += 8 + 8*int(rest[1])
		case fragment:
			if len(rest) < 8 {
				return errTruncated
			}
			p.proto = rest[0]
			p.transport += 8
			p.fragment = true
			return nil
		default:
			return nil
		}
	}
}

// trim removes what follows the packet's end.
func (p *Packet) trim(total int, quoted bool) error {
	switch {
	case total < p.transport:
		return errMalformed
	case total <= len(p.b):
		p.b = p.b[:total:total]
	case !quoted || len(p.b) < p.transport:
		return errTruncated
	}
	return nil
}

func (p *Packet) checkTransport(quoted bool) error {
	rest := p.b[p.transport:]
	switch p.proto {
	case protoTCP:
		if quoted {
			break
		}
		if len(rest) < 20 {
			return errTruncated
		}
		if n := int(rest[12]>>4) * 4; n < 20 || n > len(rest) {
			return errMalformed
		}
		return nil
	case protoUDP, protoICMP, protoICMPv6:
	default:
		return nil
	}
	if len(rest) < 8 {
		return errTruncated
	}
	return nil
}

func (p Packet) ipv4() bool { return p.b[0]>>4 == 4 }

func (p Packet) hasPorts() bool {
	return !p.fragment && (p.proto == protoTCP || p.proto == protoUDP)
}

// Src returns the source. The port is 0 if the packet is neither TCP nor UDP, or a fragment.
func (p Packet) Src() netip.AddrPort { return p.endpoint(0) }

// Dst returns the destination, as [Packet.Src] does the source.
func (p Packet) Dst() netip.AddrPort { return p.endpoint(1) }

// endpoint reads the source, which is number 0, or the destination, 1.
func (p Packet) endpoint(n int) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(p.addrField(n))
	var port uint16
	if p.hasPorts() {
		port = binary.BigEndian.Uint16(p.portField(n))
	}
	return netip.AddrPortFrom(addr, port)
}

func (p Packet) addrField(n int) []byte {
	if p.ipv4() {
		return p.b[12+4*n:][:4]
	}
	return p.b[8+16*n:][:16]
}

func (p Packet) portField(n int) []byte { return p.b[p.transport+2*n:][:2] }

// TCP reports whether the packet has a TCP header.
func (p Packet) TCP() bool { return p.proto == protoTCP && !p.fragment }

// UDP reports whether the packet has a UDP header.
func (p Packet) UDP() bool { return p.proto == protoUDP && !p.fragment }

// Flags returns the TCP control bits, or 0.
func (p Packet) Flags() uint8 {
	if !p.TCP() || len(p.b) < p.transport+14 {
		return 0
	}
	return p.b[p.transport+13]
}

// bareSYN reports whether the packet asks for a connection, and answers none.
func (p Packet) bareSYN() bool { return p.Flags()&(SYN|ACK|RST) == SYN }

// String formats the packet on one line, as in "TCP 46.0.1.1:4001 > 46.0.2.1:4001 SYN+ACK".
func (p Packet) String() string {
	proto := map[uint8]string{
		protoTCP: "TCP", protoUDP: "UDP", protoICMP: "ICMP", protoICMPv6: "ICMPv6",
	}[p.proto]
	if proto == "" {
		proto = fmt.Sprintf("protocol %d", p.proto)
	}
	if !p.hasPorts() {
		return fmt.Sprintf("%s %s > %s", proto, p.Src().Addr(), p.Dst().Addr())
	}
	s := fmt.Sprintf("%s %s > %s", proto, p.Src(), p.Dst())
	var flags []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
		if p.Flags()&(1<<i) != 0 {
			flags = append(flags, name)
		}
	}
	if flags != nil {
		s += " " + strings.Join(flags, "+")
	}
	return s
}
