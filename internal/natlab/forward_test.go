package natlab

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelay(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{Delay: 20 * ms})
		b := addStation(t, l, "eim-eif", SiteConfig{Delay: 5 * ms})
		l.SetExtraDelay(a.site, b.site, 100*ms)
		b.send(a.external())
		a.send(b.external()) // B's NAT gets it later than B's own packet
		rest(time.Second)
		if len(a.got) != 1 || a.got[0].after != 25*ms {
			t.Errorf("A has got %v, want one after 25ms", a.got)
		}
		if len(b.got) != 1 || b.got[0].after != 125*ms {
			t.Errorf("B has got %v, want one after 125ms", b.got)
		}
	})
}

func TestNATIsMetOnArrival(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{Delay: 20 * ms})
		b := addStation(t, l, "eim-apdf", SiteConfig{})
		a.send(b.external())
		rest(20*ms - 1)
		b.send(a.external()) // just in time to let it in
		a.send(b.external())
		rest(1)
		b.site.ResetNAT() // early enough to keep the next one out
		rest(time.Second)
		if len(b.got) != 1 {
			t.Errorf("B has got %v, want one", b.got)
		}
	})
}

func TestLoss(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{Loss: 0.1})
		b := addStation(t, l, "public", SiteConfig{Loss: 0.1})
		lost := make(map[Direction]int)
		l.Tap(func(e Event) {
			if e.Fate == Lost {
				lost[e.Direction]++
			}
		})
		const n = 10000
		for range n {
			a.send(b.external())
		}
		synctest.Wait()
		if got := len(b.got); got < 8000 || got > 8200 {
			t.Errorf("%d packets of %d have come through two links that lose 10%% each", got, n)
		}
		if lost[Outbound] == 0 || lost[Inbound] == 0 || lost[Outbound]+lost[Inbound]+len(b.got) != n {
			t.Errorf("the tap has seen losses of %v", lost)
		}
		a.site.SetLoss(0)
		b.site.SetLoss(1)
		b.got = nil
		a.send(b.external())
		synctest.Wait()
		if len(b.got) != 0 {
			t.Error("a packet has come through a link that loses all")
		}
	})
}

func TestLinkDown(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{Delay: 20 * ms})
		b := addStation(t, l, "public", SiteConfig{})
		a.send(b.external())
		rest(10 * ms)
		b.site.SetDown(true)
		rest(20 * ms)
		b.send(a.external())
		b.site.SetDown(false)
		rest(time.Second)
		if len(a.got)+len(b.got) != 0 {
			t.Errorf("a link that is down has let through %v %v", a.got, b.got)
		}
		a.send(b.external())
		rest(time.Second)
		if len(b.got) != 1 {
			t.Errorf("a mended link has let through %v", b.got)
		}
	})
}

func TestBehind(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		cgn := addStation(t, l, "eim-eif-hairpin", SiteConfig{Delay: 10 * ms})
		home := addStation(t, l, "eim-eif", SiteConfig{Delay: 3 * ms, Behind: cgn.site})
		other := addStation(t, l, "eim-eif", SiteConfig{Delay: 4 * ms, Behind: cgn.site})
		server := addStation(t, l, "public", SiteConfig{Delay: 20 * ms})
		l.SetExtraDelay(home.site, server.site, 100*ms)

		home.send(server.external())
		rest(time.Second)
		if len(server.got) != 1 || server.got[0].after != 133*ms {
			t.Fatalf("the server has got %v, want one after 133ms", server.got)
		}
		seen := server.got[0].pkt.Src()
		if seen.Addr() != cgn.site.External() {
			t.Errorf("the server sees %v, want the outer NAT", seen)
		}
		if addr := home.site.External(); !netip.MustParsePrefix("100.64.0.0/10").Contains(addr) {
			t.Errorf("the inner NAT has the address %v", addr)
		}
		server.send(seen)
		other.send(seen)            // round the hairpin
		other.send(home.external()) // within the carrier's network
		cgn.send(home.external())   // from there
		rest(time.Second)
		var after []time.Duration
		for _, g := range home.got {
			if g.pkt.Dst() != netip.AddrPortFrom(home.addr, 4001) {
				t.Errorf("got %v", g.pkt)
			}
			after = append(after, g.after-time.Second)
		}
		if want := [4]time.Duration{3 * ms, 7 * ms, 7 * ms, 33 * ms}; len(after) != 4 || [4]time.Duration(after) != want {
			t.Errorf("four packets took %v, want %v", after, want)
		}
	})
}

func TestSameLAN(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{Delay: time.Second, Loss: 1})
		b := joinStation(t, a.site)
		a.send(netip.AddrPortFrom(b.addr, 1))
		synctest.Wait()
		if len(b.got) != 1 || b.got[0].pkt.Src() != netip.AddrPortFrom(a.addr, 4001) {
			t.Errorf("got %v", b.got)
		}
	})
}

func TestIPv6IsRouted(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{})
		b := addStation(t, l, "public", SiteConfig{})
		a6, b6 := ap("[2001:db8::1]:1"), ap("[2001:db8::2]:1")
		a.site.attach(a6.Addr(), a)
		b.site.attach(b6.Addr(), b)
		a.site.fromHost(udpPacket(a6, b6, ""))
		a.site.fromHost(udpPacket(ap("[fe80::1]:1"), ap("[ff02::2]:1"), ""))
		rest(ms)
		if len(b.got) != 1 || b.got[0].pkt.Src() != a6 {
			t.Errorf("got %v", b.got)
		}
	})
}

func TestIPv6BehindAnotherSite(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		cgn := addStation(t, l, "eim-eif-rst", SiteConfig{IPv6: true})
		home := addStation(t, l, "eim-eif", SiteConfig{IPv6: true, Delay: 3 * ms, Behind: cgn.site})
		other := addStation(t, l, "eim-eif", SiteConfig{IPv6: true, Delay: 4 * ms, Behind: cgn.site})
		server := addStation(t, l, "public", SiteConfig{IPv6: true, Delay: 20 * ms})
		at := func(s *station) netip.AddrPort { return netip.AddrPortFrom(s.addr6, 4001) }
		syn := func(from, to *station) { from.site.fromHost(tcpPacket(at(from), at(to), SYN, "")) }

		syn(server, home) // reset by the carrier
		rest(time.Second)
		if len(home.got) != 0 || len(server.got) != 1 || server.got[0].pkt.Flags() != RST|ACK {
			t.Errorf("unsolicited: home has got %v, the server %v", home.got, server.got)
		}
		server.got = nil
		syn(home, server)
		rest(time.Second)
		syn(server, home)
		rest(time.Second)
		if len(home.got) != 1 || len(server.got) != 1 || server.got[0].pkt.Src() != at(home) {
			t.Errorf("by request: home has got %v, the server %v", home.got, server.got)
		}
		home.got = nil
		syn(home, other) // stopped by the other's firewall, not the carrier's
		rest(time.Second)
		syn(other, home)
		rest(time.Second)
		if len(home.got) != 1 || home.got[0].pkt.Src() != at(other) || len(other.got) != 0 {
			t.Errorf("neighbours: home has got %v, the other %v", home.got, other.got)
		}
	})
}

func TestSetNAT(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{})
		b := addStation(t, l, "public", SiteConfig{})
		if err := a.site.SetNAT(Behaviour{}); err == nil {
			t.Error("a site has become public")
		}
		if err := b.site.SetNAT(Behaviour{Mapping: EIM}); err == nil {
			t.Error("a public site has got a NAT")
		}
		want := Behaviour{Mapping: APDM, NoUDP: true}
		if err := a.site.SetNAT(want); err != nil || a.site.NAT() != want {
			t.Errorf("got %v, %v", a.site.NAT(), err)
		}
		a.send(b.external())
		synctest.Wait()
		if len(b.got) != 0 {
			t.Error("UDP has passed")
		}
	})
}

func TestSiteConfig(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		public := addStation(t, l, "public", SiteConfig{}).site
		home := addStation(t, l, "eim-eif", SiteConfig{}).site
		other := newLab(Config{})
		defer other.Close()
		for name, cfg := range map[string]SiteConfig{
			"loss":          {Loss: 1.5},
			"delay":         {Delay: -1},
			"jitter":        {Jitter: -1},
			"behaviour":     {NAT: Behaviour{Mapping: EIM, Ports: PortOverload}},
			"behind public": {NAT: Behaviour{Mapping: EIM}, Behind: public},
			"no IPv6 there": {NAT: Behaviour{Mapping: EIM}, IPv6: true, Behind: home},
			"other lab":     {NAT: Behaviour{Mapping: EIM}, Behind: addStation(t, other, "eim-eif", SiteConfig{}).site},
		} {
			if _, err := l.AddSite(cfg); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}
