package natlab

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestResetFor(t *testing.T) {
	for _, tt := range []struct {
		syn  []byte
		want string
		ack  uint32
	}{
		{tcpPacket(ap("46.0.1.1:4001"), ap("46.0.2.1:80"), SYN, ""), "TCP 46.0.2.1:80 > 46.0.1.1:4001 RST+ACK", 0xfffffff1},
		{tcpPacket(ap("46.0.1.1:4001"), ap("46.0.2.1:80"), SYN|FIN, "16 bytes of data"), "TCP 46.0.2.1:80 > 46.0.1.1:4001 RST+ACK", 2},
		{tcpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), SYN, ""), "TCP [2001:db8::2]:80 > [2001:db8::1]:4001 RST+ACK", 0xfffffff1},
	} {
		rst := resetFor(mustParse(tt.syn))
		p := mustParse(rst)
		if p.String() != tt.want {
			t.Errorf("got %v, want %s", p, tt.want)
		}
		header := rst[p.transport:]
		if seq, ack := binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:]); seq != 0 || ack != tt.ack {
			t.Errorf("%v: sequence number %d, acknowledges %d, want 0 and %d", p, seq, ack, tt.ack)
		}
		if want := reserialized(t, rst); !bytes.Equal(rst, want) {
			t.Errorf("%v:\ngot  %x\nwant %x", p, rst, want)
		}
	}
}

func TestUnreachableFor(t *testing.T) {
	long := strings.Repeat("x", 1300)
	for _, pkt := range [][]byte{
		tcpPacket(ap("46.0.1.1:4001"), ap("46.0.2.1:80"), SYN, ""),
		udpPacket(ap("46.0.1.1:4001"), ap("46.0.2.1:80"), long),
		tcpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), SYN, ""),
		udpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), long),
	} {
		about := mustParse(pkt)
		b := unreachableFor(about)
		p := mustParse(b)
		if p.Src().Addr() != about.Dst().Addr() || p.Dst().Addr() != about.Src().Addr() {
			t.Errorf("%v: the error goes %v", about, p)
		}
		if limit := map[bool]int{true: 576, false: 1280}[p.ipv4()]; len(b) > limit {
			t.Errorf("%v: the error has %d bytes, more than %d", about, len(b), limit)
		}
		q, ok := p.quoted()
		if !ok || q.Src() != about.Src() || q.Dst() != about.Dst() {
			t.Errorf("%v: the error quotes %v", about, q)
		}
		if want := reserialized(t, b); !bytes.Equal(b, want) {
			t.Errorf("%v:\ngot  %x\nwant %x", p, b, want)
		}
	}
}

func TestQuotedOfNoError(t *testing.T) {
	pkt := unreachableFor(mustParse(udpPacket(ap("46.0.1.1:4001"), ap("46.0.2.1:80"), "")))
	pkt[20] = 8 // an echo request
	if q, ok := mustParse(pkt).quoted(); ok {
		t.Errorf("an echo request quotes %v", q)
	}
}
