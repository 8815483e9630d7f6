package natlab

import (
	"net/netip"
	"testing"
	"time"
)

func TestSessionExpiry(t *testing.T) {
	type step struct {
		flags uint8
		out   bool
	}
	handshake := []step{{SYN, true}, {SYN | ACK, false}, {ACK, true}}
	for _, tt := range []struct {
		name  string
		steps []step // nil for UDP
		want  time.Duration
	}{
		{"UDP", nil, 5 * time.Minute},
		{"SYN", handshake[:1], 4 * time.Minute},
		{"established", handshake, 124 * time.Minute},
		{"simultaneous open", []step{{SYN, true}, {SYN, false}, {SYN | ACK, true}}, 124 * time.Minute},
		{"one FIN", append(handshake[:3:3], step{FIN | ACK, true}), 4 * time.Minute},
		{"both FINs", append(handshake[:3:3], step{FIN | ACK, true}, step{FIN | ACK, false}, step{ACK, true}), 10 * time.Second},
		{"RST", append(handshake[:3:3], step{RST, false}), 10 * time.Second},
		{"SYN after RST", []step{{SYN, true}, {RST | ACK, false}, {SYN, true}}, 4 * time.Minute},
	} {
		for _, late := range []bool{false, true} {
			n := newNATTest(t, "eim-apdf")
			external := netip.AddrPortFrom(natAddr, inside1.Port())
			if tt.steps == nil {
				n.open(protoUDP, inside1, remote1)
			}
			for _, s := range tt.steps {
				var reason string
				if s.out {
					_, reason = n.out(tcpPacket(inside1, remote1, s.flags, ""))
				} else {
					_, reason = n.in(tcpPacket(remote1, external, s.flags, ""))
				}
				if reason != "" {
					t.Fatalf("%s: %s", tt.name, reason)
				}
			}
			n.now = n.now.Add(tt.want)
			want := "no mapping"
			if !late {
				n.now = n.now.Add(-1)
				want = ""
			}
			pkt := tcpPacket(remote1, external, ACK, "")
			if tt.steps == nil {
				pkt = udpPacket(remote1, external, "")
			}
			if _, reason := n.in(pkt); reason != want {
				t.Errorf("%s, late %v: %q, want %q", tt.name, late, reason, want)
			}
		}
	}
}

func TestSessionIsKeptByTraffic(t *testing.T) {
	n := newNATTest(t, "eim-apdf")
	external := n.open(protoUDP, inside1, remote1)
	for range 3 {
		n.now = n.now.Add(udpIdle - 1)
		if _, reason := n.in(udpPacket(remote1, external, "")); reason != "" {
			t.Fatal(reason)
		}
	}
}

func TestMappingOutlivesSession(t *testing.T) {
	n := newNATTest(t, "eim-apdf-random")
	external := n.open(protoUDP, inside1, remote1)
	other := ap("46.0.3.1:80")
	n.now = n.now.Add(udpIdle / 2)
	n.open(protoUDP, inside1, other)
	n.now = n.now.Add(udpIdle / 2)
	if _, reason := n.in(udpPacket(remote1, external, "")); reason != "filtered" {
		t.Errorf("from the expired session: %q", reason)
	}
	if again := n.open(protoUDP, inside1, remote1); again != external {
		t.Errorf("%v again, before %v", again, external)
	}
	n.now = n.now.Add(udpIdle)
	if again := n.open(protoUDP, inside1, remote1); again == external {
		t.Errorf("the expired mapping %v is used again", external)
	}
}

func TestSessionsAreSwept(t *testing.T) {
	n := newNATTest(t, "eim-apdf")
	for i := range 1000 {
		n.open(protoUDP, netip.AddrPortFrom(inside1.Addr(), 2000+uint16(i)), remote1)
	}
	n.now = n.now.Add(udpIdle)
	n.open(protoUDP, inside2, remote1)
	if len(n.nat.byFlow) != 1 || len(n.nat.byPort) != 1 || len(n.nat.byTuple) != 1 {
		t.Errorf("%d mappings, %d ports, %d sessions; want one each", len(n.nat.byFlow), len(n.nat.byPort), len(n.nat.byTuple))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	n := newNATTest(t, "eim-eif")
	remote := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 2 + byte(i>>16), 1}), uint16(i))
	}
	for i := range maxSessions {
		n.open(protoUDP, inside1, remote(i))
	}
	if _, reason := n.out(udpPacket(inside1, remote(maxSessions), "")); reason != "table full" {
		t.Errorf("outbound: %q", reason)
	}
	if _, reason := n.in(udpPacket(remote(maxSessions), ap("46.0.1.1:4001"), "")); reason != "table full" {
		t.Errorf("inbound: %q", reason)
	}
	n.open(protoUDP, inside1, remote(0))
}

func TestSessionByInboundSYN(t *testing.T) {
	n := newNATTest(t, "eim-eif")
	external := n.open(protoTCP, inside1, remote1)
	visitor := ap("46.0.9.1:9000")
	for _, step := range []struct {
		flags uint8
		in    bool
		want  string
	}{
		{ACK, true, "filtered"},    // nothing but a SYN begins a session
		{ACK, false, "no session"}, // on either side
		{SYN | ACK, true, "filtered"},
		{SYN, true, ""},
		{SYN | ACK, false, ""},
		{ACK, true, ""},
	} {
		var reason string
		if step.in {
			_, reason = n.in(tcpPacket(visitor, external, step.flags, ""))
		} else {
			_, reason = n.out(tcpPacket(inside1, visitor, step.flags, ""))
		}
		if reason != step.want {
			t.Errorf("flags %x, in %v: %q, want %q", step.flags, step.in, reason, step.want)
		}
	}
}

// What the filter lets in is answered through the mapping that it has come in by, also where
// another mapping would be made for a packet that goes there of its own accord.
func TestSessionKeepsItsMapping(t *testing.T) {
	visitor := ap("46.0.9.1:9000")
	for _, tt := range []struct {
		nat  string
		from netip.AddrPort
	}{
		{"adm-eif", visitor},
		{"apdm-eif", visitor},
		{"apdm-eif-overload", visitor},
		{"apdm-adf-random", netip.AddrPortFrom(remote1.Addr(), 9000)},
	} {
		n := newNATTest(t, tt.nat)
		external := n.open(protoTCP, inside1, remote1)
		if to, reason := n.in(tcpPacket(tt.from, external, SYN, "")); to != inside1 {
			t.Fatalf("%s: the SYN has come to %v %s", tt.nat, to, reason)
		}
		for _, flags := range []uint8{SYN | ACK, ACK, SYN, RST} {
			if got, reason := n.out(tcpPacket(inside1, tt.from, flags, "")); got != external {
				t.Errorf("%s: flags %x go out from %v %s, want %v", tt.nat, flags, got, reason, external)
			}
		}
		about := mustParse(tcpPacket(tt.from, inside1, SYN, ""))
		if from, reason := n.out(unreachableFor(about)); from.Addr() != natAddr {
			t.Errorf("%s: an error about it: %s", tt.nat, reason)
		}
		n.now = n.now.Add(tcpClosedIdle)
		if got := n.open(protoTCP, inside1, tt.from); (got == external) != (tt.nat == "apdm-eif-overload") {
			t.Errorf("%s: when the session is over: from %v", tt.nat, got)
		}
	}
}

// A SYN that comes in by another mapping than the one that a SYN to its sender has left by opens
// the connection there; but it does not take an open connection away.
func TestSessionsOfTwoMappings(t *testing.T) {
	other := ap("46.0.9.1:9000")
	for _, answered := range []bool{false, true} {
		n := newNATTest(t, "apdm-eif-rst")
		first := n.open(protoTCP, inside1, remote1)
		second := n.open(protoTCP, inside1, other)
		want, wantReason := first, ""
		if answered {
			if _, reason := n.in(tcpPacket(other, second, SYN|ACK, "")); reason != "" {
				t.Fatal(reason)
			}
			want, wantReason = second, "session of another mapping"
		}
		if _, reason := n.in(tcpPacket(other, first, SYN, "")); reason != wantReason {
			t.Errorf("answered %v: the SYN: %q, want %q", answered, reason, wantReason)
		}
		if got, reason := n.out(tcpPacket(inside1, other, ACK, "")); got != want {
			t.Errorf("answered %v: out from %v %s, want %v", answered, got, reason, want)
		}
		if got := len(n.nat.byTuple); got != 2 {
			t.Errorf("answered %v: %d sessions, want 2", answered, got)
		}
	}
}
