package natlab

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestICMPError sends packets out and in, and errors about them the other way.
func TestICMPError(t *testing.T) {
	for _, p := range protocols {
		n := newNATTest(t, "eim-apdf-random")
		pkt := first(p.proto, inside1, remote1)
		original := bytes.Clone(pkt)
		external, _ := n.out(pkt)

		in := unreachableFor(mustParse(pkt)) // pkt is now as it went out
		to, reason := n.in(in)
		if reason != "" || to.Addr() != inside1.Addr() {
			t.Fatalf("%s: inbound error goes to %v %s", p.name, to, reason)
		}
		if want := unreachableFor(mustParse(original)); !bytes.Equal(in, want) {
			t.Errorf("%s: inbound error:\ngot  %x\nwant %x", p.name, in, want)
		}

		pkt = first(p.proto, remote1, external)
		original = bytes.Clone(pkt)
		n.in(pkt)
		out := unreachableFor(mustParse(pkt))
		if from, reason := n.out(out); reason != "" || from.Addr() != natAddr {
			t.Fatalf("%s: outbound error comes from %v %s", p.name, from, reason)
		}
		if want := unreachableFor(mustParse(original)); !bytes.Equal(out, want) {
			t.Errorf("%s: outbound error:\ngot  %x\nwant %x", p.name, out, want)
		}
	}
}

func TestICMPErrorWithoutSession(t *testing.T) {
	n := newNATTest(t, "eim-apdf")
	external := n.open(protoTCP, inside1, remote1)
	other := ap("46.0.3.1:80")
	for _, about := range []Packet{
		mustParse(tcpPacket(external, other, SYN, "")),
		mustParse(udpPacket(external, remote1, "")),
		mustParse(tcpPacket(netip.AddrPortFrom(other.Addr(), external.Port()), remote1, SYN, "")),
	} {
		if to, reason := n.in(unreachableFor(about)); reason != "no session" {
			t.Errorf("error about %v goes to %v %s", about, to, reason)
		}
	}
	if from, reason := n.out(unreachableFor(mustParse(udpPacket(remote1, inside1, "")))); reason != "no session" {
		t.Errorf("outbound error comes from %v %s", from, reason)
	}
}
