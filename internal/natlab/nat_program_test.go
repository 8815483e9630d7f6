package natlab

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// FuzzNATProgram sends what a fuzzer wants through a NAT, in any order and over hours: packets of
// several hosts, some of them bent, and the ICMP errors about them. What it forwards has right
// checksums and leads back, what it remembers hangs together, and nothing of that is left when all
// is idle.
func FuzzNATProgram(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, SYN, 1, 0, 0, SYN | ACK, 0, 0, 0, RST, 0, 0, 0, SYN})
	f.Add([]byte{3, 0, 0, 0, SYN, 0, 1, 0, SYN, 1, 1, 0, SYN, 4, 0, 0, 0, 5, 0, 0, 0, 6, 255, 1, 0, 0, 0, 0, SYN})
	f.Add([]byte{8, 2, 0, 0, 0, 3, 0, 0, 0, 2, 1, 1, 0, 7, 13, 255, 0, 1, 2, 3, SYN})
	f.Fuzz(func(t *testing.T, program []byte) {
		program = program[:min(len(program), 1<<10)] // what follows does nothing new
		runNATProgram(t, program)
	})
}

var programWords = []string{
	"eim-eif", "eim-adf-rst", "eim-apdf-icmp-hairpin", "adm-adf-hairpin", "apdm-apdf-sequential", "apdm-apdf-random-rstkills",
	"apdm-apdf-overload-rstkills", "apdm-apdf-icmp-overload", "eim-eif-rst-hairpin-rstkills", "eim-apdf-nosyn", "apdm-adf-sequential2", "firewall",
	"eim-eif-rst-hairpininside", "apdm-adf-random-hairpininside", "apdm-adf-pool4-rstkills", "eim-apdf-sequential-hairpin-pool4",
	"apdm-apdf-overload-blocks16", "eim-eif-rst-descending-blocks16-synlimit", "apdm-eif-egressrst",
}

func runNATProgram(t *testing.T, program []byte) {
	next := func() (b byte) {
		if len(program) > 0 {
			b, program = program[0], program[1:]
		}
		return b
	}
	words := programWords[int(next())%len(programWords)]
	insides := []netip.AddrPort{inside1, inside2, ap("10.1.0.1:4002"), ap("10.1.0.3:80")}
	remotes := []netip.AddrPort{remote1, ap("46.0.2.1:81"), ap("46.0.3.1:80"), ap("46.0.3.2:40000")}
	outside := remotes // but for the NAT's own address
	var n *natTest
	if words == "firewall" {
		n = newFirewallTest(t, "eim-adf-rst")
		insides = []netip.AddrPort{inside6, ap("[2a00:46:0:1::1]:4002"), ap("[2a00:46:0:1::2]:4001")}
		remotes = []netip.AddrPort{remote6, ap("[2a00:46:0:2::1]:81"), ap("[2a00:46:0:3::1]:80")}
		outside = remotes
	} else {
		n = newNATTest(t, words)
		outside, remotes = remotes, append(remotes, netip.AddrPortFrom(natAddr, 4001), netip.AddrPortFrom(natAddr, 4002), netip.AddrPortFrom(n.nat.router, 4001))
	}
	var externals []netip.AddrPort // as they were seen
	last := tcpPacket(insides[0], remotes[0], SYN, "")
	for len(program) > 0 {
		step := next()
		inside, remote := insides[int(next())%len(insides)], remotes[int(next())%len(remotes)]
		how := next()
		from := outside[int(how)%len(outside)]
		external := inside
		if len(externals) > 0 {
			external = externals[int(how>>4)%len(externals)]
		}
		if words != "firewall" && !n.nat.external(external.Addr()) {
			external = netip.AddrPortFrom(natAddr, external.Port())
		}
		switch step % 8 {
		case 0:
			n.send(Outbound, tcpPacket(inside, remote, how, ""), &externals)
		case 1:
			n.send(Inbound, tcpPacket(from, external, how, ""), &externals)
		case 2:
			n.send(Outbound, udpPacket(inside, remote, ""), &externals)
		case 3:
			n.send(Inbound, udpPacket(from, external, ""), &externals)
		case 4: // an error about what went out
			n.send(Inbound, unreachableFor(mustParse(tcpPacket(external, remote, how, ""))), &externals)
		case 5: // and about what came in
			n.send(Outbound, unreachableFor(mustParse(tcpPacket(remote, inside, how, ""))), &externals)
		case 6:
			n.now = n.now.Add(time.Duration(how) * time.Minute)
		case 7: // some bytes of the last one are others
			last = bytes.Clone(last)
			last[int(step/8)*3%len(last)] ^= how
			n.bent(Direction(step>>7), last)
		}
		if step%8 == 0 {
			last = tcpPacket(inside, remote, how, "")
		}
		n.consistent()
	}
	n.now = n.now.Add(24 * time.Hour)
	n.nat.sweep(n.now)
	n.consistent()
	if len(n.nat.byFlow) > 0 || len(n.nat.byPort) > 0 || len(n.nat.byTuple) > 0 {
		t.Errorf("%s: after a day it knows %d flows, %d ports and %d sessions", words, len(n.nat.byFlow), len(n.nat.byPort), len(n.nat.byTuple))
	}
}

// send has a good packet translated, and an answer to it as well.
func (t *natTest) send(d Direction, pkt []byte, externals *[]netip.AddrPort) {
	p := mustParse(bytes.Clone(pkt))
	v := t.translate(d, pkt)
	if v.Fate == Answered {
		mustParse(v.Packet)
	}
	if v.Fate != Forwarded {
		return
	}
	if want := reserialized(t.T, v.Packet); !bytes.Equal(v.Packet, want) {
		t.Errorf("%v: checksum:\ngot  %x\nwant %x", p, v.Packet, want)
	}
	q := mustParse(bytes.Clone(v.Packet))
	if d == Outbound && p.hasPorts() {
		if !slices.Contains(*externals, q.Src()) {
			*externals = append(*externals, q.Src())
		}
	}
	if !p.hasPorts() || v.Hairpin || p.Flags()&RST != 0 {
		return
	}
	back, want := tcpPacket(q.Dst(), q.Src(), ACK, ""), p.Src()
	if p.UDP() {
		back = udpPacket(q.Dst(), q.Src(), "")
	}
	v = t.translate(1-d, back)
	if v.Fate != Forwarded {
		t.Errorf("%v, which became %v, has no answer: %s", p, q, v.Reason)
	} else if got := mustParse(v.Packet).Dst(); got != want {
		t.Errorf("the answer to %v, which became %v, is for %v", p, q, got)
	}
}

// bent has any packet translated, which may be none.
func (t *natTest) bent(d Direction, pkt []byte) {
	if v := t.translate(d&1, pkt); v.Fate != Dropped {
		if _, err := Parse(v.Packet); err != nil {
			t.Errorf("a bad packet was made: %v", err)
		}
	}
}

func (t *natTest) translate(d Direction, pkt []byte) Verdict {
	if d == Outbound {
		return t.nat.Outbound(t.now, bytes.Clone(pkt))
	}
	return t.nat.Inbound(t.now, bytes.Clone(pkt))
}

// consistent checks that the NAT's three indices agree.
func (t *natTest) consistent() {
	n := t.nat
	for k, m := range n.byTuple {
		if m.sessions[k.remote] == nil || m.flow.internal != k.internal || m.flow.proto != k.proto || n.byFlow[m.flow] != m {
			t.Errorf("session %v is not one of mapping %+v", k, m)
		}
	}
	for f, m := range n.byFlow {
		if m.flow != f {
			t.Errorf("flow %v leads to mapping %+v", f, m)
		}
		found := 0
		for _, o := range n.byPort[m.port] {
			if o == m {
				found++
			}
		}
		if found != 1 {
			t.Errorf("mapping %+v has its port %d times", m, found)
		}
		for remote := range m.sessions {
			if n.byTuple[tuple{f.proto, f.internal, remote}] != m {
				t.Errorf("session with %v of mapping %+v has another", remote, m)
			}
		}
	}
	for p, ms := range n.byPort {
		if len(ms) == 0 || len(ms) > 1 && !n.overloads() {
			t.Errorf("port %v has %d mappings", p, len(ms))
		}
		for _, m := range ms {
			if m.port != p || n.byFlow[m.flow] != m {
				t.Errorf("port %v leads to mapping %+v", p, m)
			}
		}
	}
}
