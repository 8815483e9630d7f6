package natlab

import (
	"net/netip"
	"testing"
)

func TestForward(t *testing.T) {
	for _, mapping := range mappingNames[EIM:] {
		for _, rest := range []string{"eif", "adf-rst", "apdf", "apdf-icmp-sequential-nosyn", "apdf-rstkills", "apdf-random-hairpin"} {
			words := mapping + "-" + rest
			n := newNATTest(t, words)
			if err := n.nat.Forward(8080, inside1); err != nil {
				t.Fatal(err)
			}
			external := netip.AddrPortFrom(natAddr, 8080)
			check := func(when string, visitor netip.AddrPort) {
				t.Helper()
				for _, step := range []struct {
					flags uint8
					in    bool
				}{{SYN, true}, {SYN | ACK, false}, {ACK, true}, {ACK, false}, {RST, true}} {
					if step.in {
						if to, reason := n.in(tcpPacket(visitor, external, step.flags, "")); to != inside1 {
							t.Errorf("%s, %s: flags %x have come to %v %s", words, when, step.flags, to, reason)
						}
					} else if from, reason := n.out(tcpPacket(inside1, visitor, step.flags, "")); from != external {
						t.Errorf("%s, %s: flags %x go out from %v %s", words, when, step.flags, from, reason)
					}
				}
			}
			check("at first", ap("46.0.9.1:9000"))
			n.now = n.now.Add(tcpEstablishedIdle)
			check("after long", remote1)
			n.nat.Reset()
			check("after a reset", remote1)

			if got := n.open(protoTCP, inside1, ap("46.0.9.2:80")); (got == external) != (mapping == "eim") {
				t.Errorf("%s: a connection of its own goes out from %v", words, got)
			}
			if got := n.open(protoUDP, inside1, remote1); got == external {
				t.Errorf("%s: UDP goes out from %v", words, got)
			}
			if got := n.open(protoTCP, netip.AddrPortFrom(inside2.Addr(), 8080), remote1); got == external {
				t.Errorf("%s: another host has got %v too", words, got)
			}
		}
	}
}

// An overloaded port goes by the session first.
func TestForwardOfOverloadedPort(t *testing.T) {
	n := newNATTest(t, "apdm-apdf-overload")
	external := n.open(protoTCP, inside2, remote1)
	if err := n.nat.Forward(external.Port(), inside1); err == nil {
		t.Error("a port that is mapped is forwarded")
	}
	n.nat.Reset()
	if err := n.nat.Forward(external.Port(), inside1); err != nil {
		t.Fatal(err)
	}
	n.open(protoTCP, inside2, remote1)
	for from, want := range map[netip.AddrPort]netip.AddrPort{remote1: inside2, ap("46.0.9.1:80"): inside1} {
		if to, reason := n.in(tcpPacket(from, external, SYN, "")); to != want {
			t.Errorf("from %v to %v %s, want %v", from, to, reason, want)
		}
	}
}

func TestForwardErrors(t *testing.T) {
	n := newNATTest(t, "eim-apdf")
	if err := n.nat.Forward(8080, inside1); err != nil {
		t.Fatal(err)
	}
	for external, to := range map[uint16]netip.AddrPort{8080: inside2, 8081: inside1, 0: inside2} {
		if err := n.nat.Forward(external, to); err == nil {
			t.Errorf("port %d to %v: no error", external, to)
		}
	}
	inLab(t, func(t *testing.T, l *Lab) {
		public := addStation(t, l, "public", SiteConfig{})
		home := addStation(t, l, "eim-apdf", SiteConfig{})
		if err := public.site.Forward(80, netip.AddrPortFrom(public.addr, 80)); err == nil {
			t.Error("a public site forwards")
		}
		if err := home.site.Forward(80, netip.AddrPortFrom(home.addr.Next(), 80)); err == nil {
			t.Error("a port is forwarded to nobody")
		}
		if err := home.site.Forward(80, netip.AddrPortFrom(home.addr, 80)); err != nil {
			t.Error(err)
		}
	})
}
