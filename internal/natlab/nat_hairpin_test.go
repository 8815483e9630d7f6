package natlab

import (
	"bytes"
	"net/netip"
	"testing"
)

// loop sends a packet from inside that is to come back inside, and returns how it does.
func (t *natTest) loop(pkt []byte) (from, to netip.AddrPort, reason string) {
	t.Helper()
	v := t.nat.Outbound(t.now, pkt)
	if v.Fate != Forwarded {
		return from, to, v.Reason
	}
	if !v.Hairpin {
		t.Errorf("%v leaves the site", mustParse(v.Packet))
	}
	if want := reserialized(t.T, v.Packet); !bytes.Equal(v.Packet, want) {
		t.Errorf("checksum:\ngot  %x\nwant %x", v.Packet, want)
	}
	p := mustParse(v.Packet)
	return p.Src(), p.Dst(), ""
}

// The responder of a connection sees the router's inside address, and the initiator the external
// one that it has connected to. A connection each way between the same two hosts has nothing to do
// with the other.
func TestHairpinInside(t *testing.T) {
	for _, filtering := range filteringNames {
		n := newNATTest(t, "eim-"+filtering+"-hairpininside")
		external1, external2 := n.open(protoTCP, inside1, remote1), n.open(protoTCP, inside2, remote1)
		router := func(external netip.AddrPort) netip.AddrPort {
			return netip.AddrPortFrom(n.nat.router, external.Port())
		}
		check := func(from, to netip.AddrPort, flags uint8, wantFrom, wantTo netip.AddrPort, want string) {
			t.Helper()
			if gotFrom, gotTo, reason := n.loop(tcpPacket(from, to, flags, "")); gotFrom != wantFrom || gotTo != wantTo || reason != want {
				t.Errorf("%s: %v > %v comes as %v > %v %q, want %v > %v %q", filtering, from, to, gotFrom, gotTo, reason, wantFrom, wantTo, want)
			}
		}
		none := netip.AddrPort{}

		check(inside2, router(external1), SYN, none, none, "no session")
		if filtering == "eif" {
			check(inside1, external2, SYN, router(external1), inside2, "")
		} else {
			check(inside1, external2, SYN, none, none, "hairpin: filtered")
		}
		// Each has sent to the other now, or will have, and so lets the other in.
		check(inside2, external1, SYN, router(external2), inside1, "")
		check(inside1, external2, SYN, router(external1), inside2, "")
		// Both are answered, and go on.
		check(inside2, router(external1), SYN|ACK, external2, inside1, "")
		check(inside1, router(external2), SYN|ACK, external1, inside2, "")
		check(inside1, external2, ACK, router(external1), inside2, "")
		check(inside2, external1, ACK, router(external2), inside1, "")
		// One ends, which is nothing to the other.
		check(inside1, external2, RST, router(external1), inside2, "")
		n.now = n.now.Add(tcpClosedIdle)
		check(inside1, external2, ACK, none, none, "no session")
		check(inside2, router(external1), ACK, none, none, "no session")
		check(inside2, external1, ACK, router(external2), inside1, "")
		check(inside1, router(external2), ACK, external1, inside2, "")
		n.consistent()
	}
}

// A NAT that hairpins so takes what comes from outside as any other does.
func TestHairpinInsideFromOutside(t *testing.T) {
	n := newNATTest(t, "eim-apdf-hairpininside")
	external := n.open(protoUDP, inside1, remote1)
	if to, reason := n.in(udpPacket(remote1, external, "")); to != inside1 {
		t.Errorf("the answer has come to %v %s", to, reason)
	}
	if _, reason := n.in(udpPacket(ap("46.0.9.1:9000"), external, "")); reason != "filtered" {
		t.Errorf("from somebody else: %q", reason)
	}
}
