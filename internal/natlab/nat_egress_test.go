package natlab

import (
	"net/netip"
	"testing"
)

func TestEgress(t *testing.T) {
	for _, tt := range []struct{ nat, answer string }{
		{"eim-eif-egressdrop", ""},
		{"eim-eif-egressrst", "TCP 46.0.2.1:80 > 10.1.0.1:4001 RST+ACK"},
		{"eim-eif-egressicmp", "ICMP 10.1.0.254 > 10.1.0.1"},
	} {
		n := newNATTest(t, tt.nat)
		v := n.nat.Outbound(n.now, tcpPacket(inside1, remote1, SYN, ""))
		got := ""
		if v.Fate == Answered {
			got = mustParse(v.Packet).String()
		}
		if got != tt.answer || v.Fate == Forwarded || v.Reason != "egress filter" {
			t.Errorf("%s: %v %q, want %q", tt.nat, v, got, tt.answer)
		}
		if _, reason := n.out(udpPacket(inside1, remote1, "")); reason != "egress filter" {
			t.Errorf("%s: UDP: %q", tt.nat, reason)
		}
		for _, port := range egressPorts {
			external := n.open(protoTCP, inside1, netip.AddrPortFrom(remote1.Addr(), port))
			// Connections from outside are answered.
			if to, reason := n.in(tcpPacket(remote1, external, SYN, "")); to != inside1 {
				t.Errorf("%s: in to %v: %v %q", tt.nat, external, to, reason)
			}
			if _, reason := n.out(tcpPacket(inside1, remote1, SYN|ACK, "")); reason != "" {
				t.Errorf("%s: an answer: %q", tt.nat, reason)
			}
		}
	}
}

// TestEgressInIPv6: the firewall of IPv6 has the same rule.
func TestEgressInIPv6(t *testing.T) {
	n := newFirewallTest(t, "eim-eif-egressicmp")
	n.nat.router = netip.MustParseAddr("2a00:46:0:1::fe")
	v := n.nat.Outbound(n.now, tcpPacket(inside6, remote6, SYN, ""))
	if v.Fate != Answered || mustParse(v.Packet).String() != "ICMPv6 2a00:46:0:1::fe > 2a00:46:0:1::1" {
		t.Errorf("got %v", v)
	}
	if q, ok := mustParse(v.Packet).quoted(); !ok || q.Dst() != remote6 {
		t.Errorf("quotes %v, %v", q, ok)
	}
	n.open(protoTCP, inside6, netip.AddrPortFrom(remote6.Addr(), 443))
}
