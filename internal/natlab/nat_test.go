package natlab

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	natAddr = netip.MustParseAddr("46.0.1.1")
	inside1 = ap("10.1.0.1:4001")
	inside2 = ap("10.1.0.2:4001")
	remote1 = ap("46.0.2.1:80")
	inside6 = ap("[2a00:46:0:1::1]:4001")
	remote6 = ap("[2a00:46:0:2::1]:80")
	epoch   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// natTest is a NAT with a clock.
type natTest struct {
	*testing.T
	nat *NAT
	now time.Time
}

func newNATTest(t *testing.T, words string) *natTest {
	t.Helper()
	b, err := ParseBehaviour(words)
	if err != nil {
		t.Fatal(err)
	}
	n := NewNAT(b, natAddr, rand.New(rand.NewPCG(1, 2)))
	n.router = netip.MustParseAddr("10.1.0.254")
	return &natTest{t, n, epoch}
}

func newFirewallTest(t *testing.T, words string) *natTest {
	t.Helper()
	n := newNATTest(t, words)
	n.nat = newFirewall(n.nat.behaviour)
	return n
}

// out sends a packet from inside, and returns its external endpoint, or the reason why it has none.
func (t *natTest) out(pkt []byte) (netip.AddrPort, string) {
	t.Helper()
	return t.forwarded(t.nat.Outbound(t.now, pkt), Packet.Src)
}

// in sends a packet from outside, and returns the host that gets it, or the reason why none does.
func (t *natTest) in(pkt []byte) (netip.AddrPort, string) {
	t.Helper()
	return t.forwarded(t.nat.Inbound(t.now, pkt), Packet.Dst)
}

func (t *natTest) forwarded(v Verdict, which func(Packet) netip.AddrPort) (netip.AddrPort, string) {
	t.Helper()
	if v.Fate != Forwarded {
		if v.Reason == "" {
			t.Errorf("%v without a reason", v.Fate)
		}
		return netip.AddrPort{}, v.Reason
	}
	if want := reserialized(t.T, v.Packet); !bytes.Equal(v.Packet, want) {
		t.Errorf("checksum:\ngot  %x\nwant %x", v.Packet, want)
	}
	return which(mustParse(v.Packet)), ""
}

// open sends a SYN, or a UDP packet, from inside, and returns its external endpoint.
func (t *natTest) open(proto uint8, from, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	external, reason := t.out(first(proto, from, to))
	if reason != "" {
		t.Fatalf("%v to %v: %s", from, to, reason)
	}
	return external
}

// first is a packet with which a session may begin. It is empty, as gopacket would decode what is
// in it by the port.
func first(proto uint8, from, to netip.AddrPort) []byte {
	if proto == protoUDP {
		return udpPacket(from, to, "")
	}
	return tcpPacket(from, to, SYN, "")
}

var protocols = []struct {
	name  string
	proto uint8
}{{"TCP", protoTCP}, {"UDP", protoUDP}}

func TestUnsolicited(t *testing.T) {
	external := ap("46.0.1.1:4001")
	for _, tt := range []struct {
		nat    string
		answer string
	}{
		{"eim-apdf", ""},
		{"eim-apdf-rst", "TCP 46.0.1.1:4001 > 46.0.9.1:9000 RST+ACK"},
		{"eim-apdf-icmp", "ICMP 46.0.1.1 > 46.0.9.1"},
	} {
		for _, mapped := range []bool{false, true} {
			n := newNATTest(t, tt.nat)
			if mapped {
				n.open(protoTCP, inside1, remote1)
				n.open(protoUDP, inside1, remote1)
			}
			visitor := ap("46.0.9.1:9000")
			v := n.nat.Inbound(n.now, tcpPacket(visitor, external, SYN, ""))
			switch {
			case tt.answer == "" && v.Fate != Dropped:
				t.Errorf("%s: %v", tt.nat, v)
			case tt.answer != "" && (v.Fate != Answered || mustParse(v.Packet).String() != tt.answer):
				t.Errorf("%s: %v, want %s", tt.nat, v, tt.answer)
			}
			for _, pkt := range [][]byte{
				tcpPacket(visitor, external, SYN|ACK, ""),
				tcpPacket(visitor, external, ACK, ""),
				tcpPacket(visitor, external, RST, ""),
				udpPacket(visitor, external, ""),
			} {
				if v := n.nat.Inbound(n.now, pkt); v.Fate != Dropped {
					t.Errorf("%s: %v is %v", tt.nat, mustParse(pkt), v.Fate)
				}
			}
		}
	}
}

func TestRSTKills(t *testing.T) {
	other := ap("46.0.3.1:80")
	for _, outbound := range []bool{false, true} {
		for _, words := range []string{"eim-apdf", "eim-apdf-rstkills"} {
			n := newNATTest(t, words)
			external := n.open(protoTCP, inside1, remote1)
			n.open(protoTCP, inside1, other)
			var reason string
			if outbound {
				_, reason = n.out(tcpPacket(inside1, remote1, RST, ""))
			} else {
				_, reason = n.in(tcpPacket(remote1, external, RST|ACK, ""))
			}
			if reason != "" {
				t.Errorf("%s: the RST itself: %s", words, reason)
			}
			want := ""
			if words == "eim-apdf-rstkills" {
				want = "no mapping"
			}
			if _, reason := n.in(tcpPacket(other, external, SYN|ACK, "")); reason != want {
				t.Errorf("%s, outbound %v: another session after a RST: %q, want %q", words, outbound, reason, want)
			}
			if sessions := len(n.nat.byTuple); (sessions == 0) != (want != "") {
				t.Errorf("%s: %d sessions", words, sessions)
			}
		}
	}
}

func TestNoSYN(t *testing.T) {
	n := newNATTest(t, "eim-eif-rst-nosyn")
	external := n.open(protoTCP, inside1, remote1)
	if v := n.nat.Inbound(n.now, tcpPacket(remote1, external, SYN, "")); v.Fate != Answered || v.Reason != "bare SYN" {
		t.Errorf("a bare SYN: %v", v)
	}
	if _, reason := n.in(tcpPacket(remote1, external, SYN|ACK, "")); reason != "" {
		t.Errorf("a SYN that answers: %s", reason)
	}
}

func TestNoUDP(t *testing.T) {
	n := newNATTest(t, "eim-eif-noudp")
	if _, reason := n.out(udpPacket(inside1, remote1, "")); reason != "no UDP" {
		t.Errorf("outbound: %q", reason)
	}
	if _, reason := n.in(udpPacket(remote1, ap("46.0.1.1:4001"), "")); reason != "no UDP" {
		t.Errorf("inbound: %q", reason)
	}
	n.open(protoTCP, inside1, remote1)
}

func TestHairpin(t *testing.T) {
	for _, p := range protocols {
		n := newNATTest(t, "eim-eif")
		external := n.open(p.proto, inside1, remote1)
		if _, reason := n.out(first(p.proto, inside2, external)); reason != "no hairpin" {
			t.Errorf("%s: without: %q", p.name, reason)
		}

		n = newNATTest(t, "eim-eif-hairpin")
		external = n.open(p.proto, inside1, remote1)
		v := n.nat.Outbound(n.now, first(p.proto, inside2, external))
		if v.Fate != Forwarded || !v.Hairpin {
			t.Fatalf("%s: with: %v", p.name, v)
		}
		got := mustParse(v.Packet)
		if got.Dst() != inside1 || got.Src().Addr() != natAddr || got.Src() == external {
			t.Errorf("%s: looped back as %v", p.name, got)
		}
		if want := reserialized(t, v.Packet); !bytes.Equal(v.Packet, want) {
			t.Errorf("%s: checksum:\ngot  %x\nwant %x", p.name, v.Packet, want)
		}
	}
	n := newNATTest(t, "eim-apdf-hairpin")
	external := n.open(protoTCP, inside1, remote1)
	if _, reason := n.out(tcpPacket(inside2, external, SYN, "")); reason != "hairpin: filtered" {
		t.Errorf("filtered: %q", reason)
	}
}

// TestSYNLimit: of many unsolicited SYNs some are answered.
func TestSYNLimit(t *testing.T) {
	for _, words := range []string{"eim-apdf-rst-synlimit", "eim-apdf-icmp-synlimit"} {
		n := newNATTest(t, words)
		answered := func(syns int) (count int) {
			for range syns {
				if v := n.nat.Inbound(n.now, tcpPacket(remote1, ap("46.0.1.1:4001"), SYN, "")); v.Fate == Answered {
					count++
				} else if v.Fate != Dropped || v.Reason != "no mapping, and too many of late" {
					t.Errorf("%s: %v", words, v)
				}
			}
			return count
		}
		if got := answered(10); got != synLimitBurst {
			t.Errorf("%s: %d of 10 are answered", words, got)
		}
		n.now = n.now.Add(3 * time.Second / synLimitRate)
		if got := answered(10); got != 3 {
			t.Errorf("%s: %d of 10 are answered after a while", words, got)
		}
	}
}

func TestReset(t *testing.T) {
	n := newNATTest(t, "eim-eif")
	external := n.open(protoTCP, inside1, remote1)
	n.nat.Reset()
	if _, reason := n.in(tcpPacket(remote1, external, SYN, "")); reason != "no mapping" {
		t.Errorf("inbound: %q", reason)
	}
	if _, reason := n.out(tcpPacket(inside1, remote1, ACK, "")); reason != "no session" {
		t.Errorf("outbound: %q", reason)
	}
}

func TestUntranslatable(t *testing.T) {
	fragment := udpPacket(inside1, remote1, "")
	fragment[6] = 0x20
	sctp := udpPacket(inside1, remote1, "")
	sctp[9] = 132
	echo := udpPacket(inside1, remote1, "")
	echo[9], echo[20] = protoICMP, 8
	for want, pkt := range map[string][]byte{
		"malformed":      {4 << 4},
		"address family": udpPacket(ap("[2001:db8::1]:4001"), ap("[2001:db8::2]:80"), ""),
		"fragment":       fragment,
		"protocol":       sctp,
	} {
		n := newNATTest(t, "eim-eif")
		if _, reason := n.out(bytes.Clone(pkt)); reason != want {
			t.Errorf("outbound: %q, want %q", reason, want)
		}
		if _, reason := n.in(pkt); reason != want {
			t.Errorf("inbound: %q, want %q", reason, want)
		}
	}
	if _, reason := newNATTest(t, "eim-eif").out(echo); reason != "protocol" {
		t.Errorf("echo request: %q", reason)
	}
}

// FuzzNAT looks for packets that a NAT does not survive.
func FuzzNAT(f *testing.F) {
	external := netip.AddrPortFrom(natAddr, inside1.Port())
	f.Add(tcpPacket(inside1, remote1, SYN, ""))
	f.Add(tcpPacket(remote1, external, RST, ""))
	f.Add(unreachableFor(mustParse(tcpPacket(external, remote1, SYN, ""))))
	f.Add(unreachableFor(mustParse(tcpPacket(remote1, inside1, SYN, ""))))
	f.Add(tcpPacket(inside6, remote6, SYN, ""))
	f.Add(unreachableFor(mustParse(tcpPacket(inside6, remote6, SYN, ""))))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, words := range []string{"eim-eif-rst-hairpin", "eim-adf-hairpininside", "apdm-apdf-icmp-overload-rstkills", "apdm-eif-pool4", "firewall"} {
			var n *natTest
			if words == "firewall" {
				n = newFirewallTest(t, "eim-eif-rst-rstkills")
				n.open(protoTCP, inside6, remote6)
			} else {
				n = newNATTest(t, words)
				n.open(protoTCP, inside1, remote1)
			}
			for _, translate := range []func(time.Time, []byte) Verdict{n.nat.Outbound, n.nat.Inbound} {
				v := translate(n.now, bytes.Clone(b))
				if v.Fate == Dropped {
					continue
				}
				if _, err := Parse(v.Packet); err != nil {
					t.Errorf("%s has made a bad packet: %v", words, err)
				}
			}
		}
	})
}
