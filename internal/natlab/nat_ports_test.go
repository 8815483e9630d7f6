package natlab

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func TestPortPreserve(t *testing.T) {
	n := newNATTest(t, "eim-eif-preserve")
	if got := n.open(protoTCP, inside1, remote1); got.Port() != inside1.Port() {
		t.Errorf("got %v, want the internal port", got)
	}
	if got := n.open(protoTCP, inside2, remote1); got.Port() == inside2.Port() {
		t.Errorf("got %v, which is taken", got)
	}
	if got := n.open(protoUDP, inside2, remote1); got.Port() != inside2.Port() {
		t.Errorf("UDP: got %v, want the internal port", got)
	}
	// Also the mapping of another remote endpoint takes a port.
	n = newNATTest(t, "apdm-eif-preserve")
	n.open(protoTCP, inside1, remote1)
	if got := n.open(protoTCP, inside1, ap("46.0.3.1:80")); got.Port() == inside1.Port() {
		t.Errorf("got %v, which is taken", got)
	}
}

func TestPortOverload(t *testing.T) {
	n := newNATTest(t, "apdm-apdf-overload")
	other := ap("46.0.3.1:80")
	for _, tt := range []struct {
		from, to netip.AddrPort
		kept     bool
	}{
		{inside1, remote1, true},
		{inside1, other, true},
		{inside2, remote1, false}, // from 46.0.1.1:4001 already
		{inside2, ap("46.0.4.1:80"), true},
	} {
		external := n.open(protoTCP, tt.from, tt.to)
		if (external.Port() == tt.from.Port()) != tt.kept {
			t.Errorf("%v to %v: got %v, want the port kept: %v", tt.from, tt.to, external, tt.kept)
		}
		if to, reason := n.in(tcpPacket(tt.to, external, SYN|ACK, "")); to != tt.from {
			t.Errorf("%v back to %v: %v %s, want %v", tt.to, external, to, reason, tt.from)
		}
	}
}

func TestPortSequential(t *testing.T) {
	for _, tt := range []struct {
		ports string
		first uint16
		want  [4]uint16
	}{
		{"sequential", 65534, [4]uint16{65534, 65535, minPort + 1, minPort + 2}},
		{"sequential2", 65534, [4]uint16{65534, minPort + 2, minPort + 4, minPort + 6}},
		{"descending", minPort + 2, [4]uint16{minPort + 2, minPort + 1, 65535, 65534}},
		{"descending2", minPort + 2, [4]uint16{minPort + 2, 65534, 65532, 65530}},
	} {
		n := newNATTest(t, "apdm-apdf-"+tt.ports)
		n.nat.nextPort = tt.first
		var got []uint16
		for i := range tt.want {
			to := netip.AddrPortFrom(remote1.Addr(), 80+uint16(i))
			got = append(got, n.open(protoTCP, inside1, to).Port())
			if i == 0 { // in the way
				n.nat.addSession(n.nat.addMapping(flow{proto: protoTCP}, netip.AddrPortFrom(natAddr, minPort)), remote1).expires = epoch.Add(1)
			}
		}
		if [4]uint16(got) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.ports, got, tt.want)
		}
	}
}

func TestPortRandom(t *testing.T) {
	ports := func(seed uint64) (got [8]uint16) {
		n := newNATTest(t, "apdm-apdf-random")
		n.nat = NewNAT(n.nat.behaviour, natAddr, rand.New(rand.NewPCG(seed, 0)))
		for i := range got {
			got[i] = n.open(protoTCP, inside1, netip.AddrPortFrom(remote1.Addr(), 80+uint16(i))).Port()
			if got[i] < minPort {
				t.Errorf("got the well-known port %d", got[i])
			}
		}
		return got
	}
	if a, b := ports(1), ports(1); a != b {
		t.Errorf("the same seed gives %v and %v", a, b)
	}
	if a, b := ports(1), ports(2); a == b {
		t.Errorf("different seeds give %v", a)
	}
}

// TestPortBlock: all mappings are within one block, in which a sequence goes round.
func TestPortBlock(t *testing.T) {
	for _, words := range []string{"apdm-apdf-overload-blocks16", "apdm-apdf-sequential-blocks16", "apdm-adf-descending2-blocks16", "apdm-eif-random-blocks16"} {
		n := newNATTest(t, words)
		first, last := n.open(protoTCP, inside1, remote1).Port(), uint16(0)
		block := first &^ (blockSize - 1)
		seen := make(map[uint16]bool)
		for i := range uint16(4 * blockSize) {
			external := n.open(protoTCP, inside1, netip.AddrPortFrom(remote1.Addr(), 81+i))
			if got := external.Port(); got&^(blockSize-1) != block {
				t.Errorf("%s: port %d, want one from %d on", words, got, block)
			} else if seen[got] = true; n.nat.behaviour.Ports == PortSequential && last != 0 && got != last+1 && got != block {
				t.Errorf("%s: port %d after %d", words, got, last)
			}
			last = external.Port()
			if got, reason := n.in(tcpPacket(netip.AddrPortFrom(remote1.Addr(), 81+i), external, SYN|ACK, "")); got != inside1 {
				t.Errorf("%s: back to %v: %v %s", words, external, got, reason)
			}
		}
		if want := map[bool]int{true: blockSize, false: blockSize / 2}[n.nat.behaviour.Ports != PortDescending2]; len(seen) != want {
			t.Errorf("%s: %d ports are used, want %d", words, len(seen), want)
		}
		n.consistent()
	}
	// A port within the block is preserved, and none is used twice towards one endpoint.
	n := newNATTest(t, "eim-eif-blocks16")
	own := netip.AddrPortFrom(inside1.Addr(), uint16(n.nat.ports.first+3))
	if got := n.open(protoTCP, own, remote1); got.Port() != own.Port() {
		t.Errorf("got port %d, want the internal one, %d", got.Port(), own.Port())
	}
	for i := range uint16(blockSize) {
		external, reason := n.out(tcpPacket(netip.AddrPortFrom(inside2.Addr(), 5000+i), remote1, SYN, ""))
		if want := map[bool]string{true: "", false: "no port free"}[i < blockSize-1]; reason != want {
			t.Errorf("mapping %d: %v %q, want %q", i, external, reason, want)
		}
	}
}

func TestPortsUsedUp(t *testing.T) {
	for _, ports := range portNames {
		t.Run(ports, func(t *testing.T) {
			t.Parallel()
			n := newNATTest(t, "apdm-apdf-"+ports)
			for number := range 65536 {
				m := n.nat.addMapping(flow{proto: protoTCP, internal: netip.AddrPortFrom(inside2.Addr(), uint16(number)), remote: remote1}, netip.AddrPortFrom(natAddr, uint16(number)))
				n.nat.addSession(m, remote1).expires = epoch.Add(tcpTransitoryIdle)
			}
			clear(n.nat.byTuple) // there is a bound on these as well, which is not what this is about
			if external, reason := n.out(tcpPacket(inside1, remote1, SYN, "")); reason != "no port free" {
				t.Errorf("%v %q", external, reason)
			}
		})
	}
}

// TestClash: an endpoint that was refused has a session with the NAT itself for 10 s, and inside
// hosts have another port towards that endpoint. A mapping that is there keeps its port, and the
// endpoint is let in.
func TestClash(t *testing.T) {
	n := newNATTest(t, "apdm-apdf-rst-overload-clash")
	external := netip.AddrPortFrom(natAddr, inside1.Port())
	refuse := func(from netip.AddrPort) {
		t.Helper()
		if v := n.nat.Inbound(n.now, tcpPacket(from, external, SYN, "")); v.Fate != Answered {
			t.Errorf("a SYN from %v is %v", from, v.Fate)
		}
	}
	refuse(remote1)
	n.now = n.now.Add(tcpClosedIdle - time.Second)
	refuse(remote1) // again
	n.now = n.now.Add(tcpClosedIdle - 1)
	if got := n.open(protoTCP, inside1, remote1); got == external {
		t.Errorf("got %v, which the NAT uses itself", got)
	}
	other := netip.AddrPortFrom(remote1.Addr(), remote1.Port()+1)
	if got := n.open(protoTCP, inside1, other); got != external {
		t.Errorf("to another port: got %v, want %v", got, external)
	}
	if to, reason := n.in(tcpPacket(other, external, SYN, "")); to != inside1 {
		t.Errorf("a SYN that comes later goes to %v: %s", to, reason)
	}
	n = newNATTest(t, "apdm-apdf-rst-overload-clash")
	refuse(remote1)
	n.now = n.now.Add(tcpClosedIdle)
	if got := n.open(protoTCP, inside1, remote1); got != external {
		t.Errorf("after a while: got %v, want %v", got, external)
	}
}
