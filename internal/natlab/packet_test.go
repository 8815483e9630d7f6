package natlab

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// ap is short for an endpoint.
func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// ipLayer is the header of a packet between two endpoints.
func ipLayer(src, dst netip.AddrPort, proto layers.IPProtocol) (ip gopacket.SerializableLayer, net gopacket.NetworkLayer) {
	if src.Addr().Is4() {
		h := &layers.IPv4{
			Version: 4, IHL: 5, TTL: 64, Protocol: proto,
			SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
		}
		return h, h
	}
	h := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: proto,
		SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	return h, h
}

func serialize(ls ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		panic(err)
	}
	return bytes.Clone(buf.Bytes())
}

func tcpPacket(src, dst netip.AddrPort, flags uint8, payload string) []byte {
	ip, net := ipLayer(src, dst, layers.IPProtocolTCP)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: 0xfffffff0, Window: 1000,
		FIN: flags&FIN != 0, SYN: flags&SYN != 0, RST: flags&RST != 0, PSH: flags&PSH != 0, ACK: flags&ACK != 0,
	}
	_ = tcp.SetNetworkLayerForChecksum(net)
	return serialize(ip, tcp, gopacket.Payload(payload))
}

func udpPacket(src, dst netip.AddrPort, payload string) []byte {
	ip, net := ipLayer(src, dst, layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	_ = udp.SetNetworkLayerForChecksum(net)
	return serialize(ip, udp, gopacket.Payload(payload))
}

// reserialized is a packet as gopacket would have made it, checksums and all.
func reserialized(t *testing.T, pkt []byte) []byte {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if pkt[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	decoded := gopacket.NewPacket(pkt, first, gopacket.Default)
	if err := decoded.ErrorLayer(); err != nil {
		t.Fatal(err.Error())
	}
	var ls []gopacket.SerializableLayer
	for _, l := range decoded.Layers() {
		switch l := l.(type) {
		case interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}:
			_ = l.SetNetworkLayerForChecksum(decoded.NetworkLayer())
		}
		if l, ok := l.(gopacket.SerializableLayer); ok {
			ls = append(ls, l)
		}
	}
	return serialize(ls...)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		pkt      []byte
		src, dst string
		want     string
	}{
		{tcpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), SYN|ACK, ""), "10.1.0.1:4001", "46.0.2.1:80",
			"TCP 10.1.0.1:4001 > 46.0.2.1:80 SYN+ACK"},
		{udpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), "x"), "10.1.0.1:4001", "46.0.2.1:80",
			"UDP 10.1.0.1:4001 > 46.0.2.1:80"},
		{tcpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), RST, "data"), "[2001:db8::1]:4001", "[2001:db8::2]:80",
			"TCP [2001:db8::1]:4001 > [2001:db8::2]:80 RST"},
		{udpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), ""), "[2001:db8::1]:4001", "[2001:db8::2]:80",
			"UDP [2001:db8::1]:4001 > [2001:db8::2]:80"},
		{unreachableFor(mustParse(udpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), ""))), "46.0.2.1:0", "10.1.0.1:0",
			"ICMP 46.0.2.1 > 10.1.0.1"},
	} {
		p, err := Parse(append(tt.pkt, "trailer"...))
		if err != nil {
			t.Errorf("%s: %v", tt.want, err)
			continue
		}
		if p.Src() != ap(tt.src) || p.Dst() != ap(tt.dst) || p.String() != tt.want {
			t.Errorf("got %v, want %s", p, tt.want)
		}
		if len(p.b) != len(tt.pkt) {
			t.Errorf("%s: the trailer counts", tt.want)
		}
		for n := range tt.pkt {
			if _, err := Parse(tt.pkt[:n]); err == nil {
				t.Errorf("%s: no error for its first %d bytes", tt.want, n)
			}
		}
	}
}

func mustParse(pkt []byte) Packet {
	p, err := Parse(pkt)
	if err != nil {
		panic(err)
	}
	return p
}

func TestParseFragment(t *testing.T) {
	pkt := tcpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), SYN, "")
	pkt[6], pkt[7] = 0, 1 // offset
	if p := mustParse(pkt); !p.fragment || p.Src().Port() != 0 || p.TCP() {
		t.Errorf("got %v, want a fragment without ports", p)
	}
}

func TestParseExtensionHeaders(t *testing.T) {
	plain := tcpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), SYN, "")
	pkt := append(bytes.Clone(plain[:40]), make([]byte, 8)...) // an empty destination options header
	pkt = append(pkt, plain[40:]...)
	pkt[5] += 8
	pkt[6], pkt[40] = 60, protoTCP
	if p := mustParse(pkt); p.Src().Port() != 4001 || p.Flags() != SYN {
		t.Errorf("got %v", p)
	}
}

func TestSetEndpoint(t *testing.T) {
	v4 := []netip.AddrPort{ap("10.1.0.1:4001"), ap("46.0.2.1:80"), ap("46.255.1.1:65535"), ap("100.64.0.1:1")}
	v6 := []netip.AddrPort{ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), ap("[2001:db8:ffff::]:65535"), ap("[::1]:1")}
	for _, e := range [][]netip.AddrPort{v4, v6} {
		for _, payload := range []string{"", "odd", "even"} {
			for _, pkt := range [][]byte{
				tcpPacket(e[0], e[1], SYN, payload),
				udpPacket(e[0], e[1], payload),
			} {
				p := mustParse(pkt)
				p.setSrc(e[2])
				p.setDst(e[3])
				if p.Src() != e[2] || p.Dst() != e[3] {
					t.Errorf("got %v, want %v > %v", p, e[2], e[3])
				}
				if want := reserialized(t, pkt); !bytes.Equal(pkt, want) {
					t.Errorf("%v, payload %q:\ngot  %x\nwant %x", p, payload, pkt, want)
				}
			}
		}
	}
}

func TestSetEndpointWithoutChecksum(t *testing.T) {
	pkt := udpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), "x")
	pkt[26], pkt[27] = 0, 0
	p := mustParse(pkt)
	p.setSrc(ap("46.0.1.1:4001"))
	if pkt[26] != 0 || pkt[27] != 0 {
		t.Errorf("the packet has got the checksum %x", pkt[26:28])
	}
}

func FuzzParse(f *testing.F) {
	for _, pkt := range [][]byte{
		tcpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), SYN, "data"),
		udpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), "data"),
		unreachableFor(mustParse(tcpPacket(ap("10.1.0.1:4001"), ap("46.0.2.1:80"), SYN, ""))),
		unreachableFor(mustParse(tcpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), SYN, ""))),
	} {
		f.Add(pkt)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(bytes.Clone(b))
		if err != nil {
			return
		}
		_ = p.String()
		before := bytes.Clone(p.b)
		src, dst := p.Src(), p.Dst()
		other := netip.AddrPortFrom(netip.MustParseAddr("46.0.9.9"), 999)
		if !p.ipv4() {
			other = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::99"), 999)
		}
		p.setSrc(other)
		p.setDst(other)
		if p.Src().Addr() != other.Addr() || p.hasPorts() && p.Dst() != other {
			t.Errorf("got %v after a rewrite to %v", p, other)
		}
		p.setSrc(src)
		p.setDst(dst)
		if p.Src() != src || p.Dst() != dst || len(p.b) != len(before) {
			t.Errorf("got %v after a rewrite and back, want %v > %v", p, src, dst)
		}
		if q, ok := p.quoted(); ok {
			q.setSrc(netip.AddrPortFrom(other.Addr(), 1))
			p.setICMPChecksum()
		}
		if p.bareSYN() {
			mustParse(resetFor(p))
		}
		mustParse(unreachableFor(p))
	})
}
