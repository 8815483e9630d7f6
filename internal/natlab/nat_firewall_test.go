package natlab

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestFirewall(t *testing.T) {
	for _, p := range protocols {
		n := newFirewallTest(t, "eim-eif-sequential") // all of it is about IPv4
		if _, reason := n.in(first(p.proto, remote6, inside6)); reason != "no session" {
			t.Errorf("%s: before anything went out: %q", p.name, reason)
		}
		if got := n.open(p.proto, inside6, remote6); got != inside6 {
			t.Errorf("%s: goes out from %v, want %v", p.name, got, inside6)
		}
		otherPort := netip.AddrPortFrom(remote6.Addr(), 81)
		otherHost := netip.AddrPortFrom(inside6.Addr().Next(), inside6.Port())
		for _, tt := range []struct {
			from, to netip.AddrPort
			want     string
		}{
			{remote6, inside6, ""},
			{otherPort, inside6, "filtered"},
			{remote6, otherHost, "no session"},
		} {
			if to, reason := n.in(first(p.proto, tt.from, tt.to)); reason != tt.want || reason == "" && to != tt.to {
				t.Errorf("%s: %v to %v has come to %v %q, want %q", p.name, tt.from, tt.to, to, reason, tt.want)
			}
		}
		// Two hosts may use the same port, also towards the same remote endpoint.
		if got := n.open(p.proto, otherHost, remote6); got != otherHost {
			t.Errorf("%s: the other host goes out from %v", p.name, got)
		}
		if to, reason := n.in(first(p.proto, remote6, otherHost)); to != otherHost {
			t.Errorf("%s: to the other host: %v %s", p.name, to, reason)
		}
	}
}

func TestFirewallUnsolicited(t *testing.T) {
	for words, answer := range map[string]string{
		"eim-eif":            "",
		"eim-eif-rst":        "TCP [2a00:46:0:1::1]:4001 > [2a00:46:0:2::1]:80 RST+ACK",
		"eim-eif-icmp-nosyn": "ICMPv6 2a00:46:0:1::1 > 2a00:46:0:2::1",
	} {
		n := newFirewallTest(t, words)
		v := n.nat.Inbound(n.now, tcpPacket(remote6, inside6, SYN, ""))
		switch {
		case answer == "" && v.Fate != Dropped:
			t.Errorf("%s: %v", words, v)
		case answer != "" && (v.Fate != Answered || mustParse(v.Packet).String() != answer):
			t.Errorf("%s: %v, want %s", words, v, answer)
		}
		if v := n.nat.Inbound(n.now, tcpPacket(remote6, inside6, ACK, "")); v.Fate != Dropped {
			t.Errorf("%s: an ACK is %v", words, v.Fate)
		}
		n.open(protoTCP, inside6, remote6)
		_, reason := n.in(tcpPacket(remote6, inside6, SYN, ""))
		if want := map[bool]string{true: "bare SYN"}[n.nat.behaviour.NoSYN]; reason != want {
			t.Errorf("%s: a SYN that is expected: %q, want %q", words, reason, want)
		}
	}
}

func TestFirewallRSTKills(t *testing.T) {
	n := newFirewallTest(t, "eim-eif-rstkills")
	other := ap("[2a00:46:0:3::1]:80")
	n.open(protoTCP, inside6, remote6)
	n.open(protoTCP, inside6, other)
	if _, reason := n.in(tcpPacket(remote6, inside6, RST|ACK, "")); reason != "" {
		t.Errorf("the RST itself: %q", reason)
	}
	if _, reason := n.in(tcpPacket(remote6, inside6, SYN, "")); reason != "filtered" {
		t.Errorf("after it: %q", reason)
	}
	if _, reason := n.in(tcpPacket(other, inside6, SYN|ACK, "")); reason != "" {
		t.Errorf("another session: %q", reason)
	}
}

func TestFirewallICMPError(t *testing.T) {
	n := newFirewallTest(t, "eim-eif")
	about := tcpPacket(inside6, remote6, SYN, "")
	if _, reason := n.in(unreachableFor(mustParse(about))); reason != "no session" {
		t.Errorf("without a session: %q", reason)
	}
	n.open(protoTCP, inside6, remote6)
	want := unreachableFor(mustParse(about))
	got := bytes.Clone(want)
	if to, reason := n.in(got); to.Addr() != inside6.Addr() || !bytes.Equal(got, want) {
		t.Errorf("an error has come to %v %s:\ngot  %x\nwant %x", to, reason, got, want)
	}
	if _, reason := n.out(unreachableFor(mustParse(tcpPacket(remote6, inside6, SYN, "")))); reason != "" {
		t.Errorf("one from inside: %q", reason)
	}
}

func TestFirewallIsReset(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		home := addStation(t, l, "eim-eif", SiteConfig{IPv6: true})
		server := addStation(t, l, "public", SiteConfig{IPv6: true})
		from, to := netip.AddrPortFrom(home.addr6, 1), netip.AddrPortFrom(server.addr6, 1)
		home.site.fromHost(udpPacket(from, to, ""))
		rest(ms)
		home.site.ResetNAT()
		server.site.fromHost(udpPacket(to, from, ""))
		rest(ms)
		if err := home.site.SetNAT(Behaviour{Mapping: EIM, NoUDP: true}); err != nil {
			t.Fatal(err)
		}
		home.site.fromHost(udpPacket(from, to, ""))
		rest(ms)
		if len(server.got) != 1 || len(home.got) != 0 {
			t.Errorf("the server has got %v, home %v; want one and none", server.got, home.got)
		}
	})
}
