package page

import (
	"fmt"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// A kind is what a packet does in the opening of a connection.
type kind string

const (
	kindSYN    kind = "SYN"
	kindSYNACK kind = "SYN+ACK"
	kindRST    kind = "RST"
	kindICMP   kind = "ICMP"
	kindACK    kind = "ACK" // and nothing else
	kindData   kind = "data"
	kindFIN    kind = "FIN"
	kindUDP    kind = "UDP"
)

// opens reports whether such packets decide about a connection. A ladder shows only the first of
// the others.
func (k kind) opens() bool {
	return k == kindSYN || k == kindSYNACK || k == kindRST || k == kindICMP
}

// header is what a ladder shows of a packet.
type header struct {
	kind     kind
	src, dst netip.AddrPort // an ICMP error's ports are those of the packet it is about
	seq, ack uint32         // TCP alone
	payload  int            // bytes after the TCP or UDP header
}

// parseHeader reads a packet from the IP header on. ok is false for what has no place in a ladder.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) == 0 {
		return header{}, false
	}
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	if p.NetworkLayer() == nil {
		return header{}, false
	}
	src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	dst, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
	var srcPort, dstPort uint16
	if icmp, is := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); is {
		about, ok := parseQuoted(icmp.Payload)
		if !ok {
			return header{}, false
		}
		h.kind, srcPort, dstPort = kindICMP, about.dst, about.src
	} else if tcp, is := p.Layer(layers.LayerTypeTCP).(*layers.TCP); is {
		h.kind = tcpKind(tcp)
		h.seq, h.ack, h.payload = tcp.Seq, tcp.Ack, len(tcp.Payload)
		srcPort, dstPort = uint16(tcp.SrcPort), uint16(tcp.DstPort)
	} else if udp, is := p.Layer(layers.LayerTypeUDP).(*layers.UDP); is {
		h.kind, h.payload = kindUDP, len(udp.Payload)
		srcPort, dstPort = uint16(udp.SrcPort), uint16(udp.DstPort)
	} else {
		return header{}, false
	}
	h.src, h.dst = netip.AddrPortFrom(src, srcPort), netip.AddrPortFrom(dst, dstPort)
	return h, true
}

func tcpKind(tcp *layers.TCP) kind {
	switch {
	case tcp.RST:
		return kindRST
	case tcp.SYN && tcp.ACK:
		return kindSYNACK
	case tcp.SYN:
		return kindSYN
	case tcp.FIN:
		return kindFIN
	case len(tcp.Payload) > 0:
		return kindData
	}
	return kindACK
}

type ports struct{ src, dst uint16 }

// parseQuoted reads the ports of the IPv4 packet in an ICMP error. Such an error has at least eight
// bytes of the transport header, which begins with the ports (RFC 792).
func parseQuoted(b []byte) (p ports, ok bool) {
	var ip layers.IPv4
	if ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil || len(ip.Payload) < 4 {
		return ports{}, false
	}
	be := func(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
	return ports{be(ip.Payload), be(ip.Payload[2:])}, true
}

// String returns the packet's kind, and how much it carries.
func (h header) String() string {
	if h.kind == kindData || h.kind == kindUDP {
		return fmt.Sprintf("%s, %d B", h.kind, h.payload)
	}
	return string(h.kind)
}
