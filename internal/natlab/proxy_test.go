package natlab

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// Nothing but what belongs to a connection that a host has opened is the proxy's.
func TestProxyPasses(t *testing.T) {
	peer, low := ap("46.0.2.1:10000"), ap("46.0.2.1:9999")
	for _, pkt := range [][]byte{
		tcpPacket(inside1, low, SYN, ""),
		tcpPacket(inside1, peer, SYN|ACK, ""),
		tcpPacket(inside1, peer, ACK, "data"),
		tcpPacket(inside1, peer, RST, ""),
		udpPacket(inside1, peer, ""),
	} {
		x := newProxy(ProxySilent)
		x.take(mustParse(tcpPacket(inside2, peer, SYN, "")))
		if answers, taken := x.take(mustParse(pkt)); taken || answers != nil {
			t.Errorf("%v is taken", mustParse(pkt))
		}
	}
	if _, taken := newProxy(NoProxy).take(mustParse(tcpPacket(inside1, peer, SYN, ""))); taken {
		t.Error("no proxy takes a SYN")
	}
}

func TestProxy(t *testing.T) {
	// A segment of the host's begins at seq, all of them together at the one that tcpPacket has.
	const seq = 0xfffffff0
	type answer struct {
		flags    uint8
		seq, ack uint32
		payload  string
	}
	type step struct {
		flags   uint8
		payload string
		want    []answer
	}
	const next = proxySequence + 1
	end := uint32(next + len(proxyNoise))
	syn := step{SYN, "", []answer{{SYN | ACK, proxySequence, seq + 1, ""}}}
	reset := step{RST, "", nil}
	for kind, steps := range map[Proxy][]step{
		ProxySilent: {
			syn, syn, // repeated
			{ACK, "", nil},
			{ACK | PSH, "data", []answer{{ACK, next, seq + 4, ""}}},
			{ACK | FIN, "data", []answer{{ACK | FIN, next, seq + 5, ""}}},
			{ACK, "", nil},
			{ACK | FIN, "data", []answer{{ACK, next + 1, seq + 5, ""}}}, // repeated
			reset,
		},
		ProxyClose: {
			syn,
			{ACK, "", []answer{{ACK | FIN, next, seq, ""}}},
			{ACK, "data", []answer{{ACK, next + 1, seq + 4, ""}}},
			{ACK | FIN, "", []answer{{ACK, next + 1, seq + 1, ""}}},
			reset,
		},
		ProxyNoise: {
			syn,
			{ACK, "", []answer{{ACK | PSH, next, seq, proxyNoise}}},
			{ACK, "", nil},
			{ACK | PSH, "data", []answer{{ACK, end, seq + 4, ""}}},
			{ACK | FIN, "", []answer{{ACK | FIN, end, seq + 1, ""}}},
			reset,
		},
	} {
		x := newProxy(kind)
		peer := ap("46.0.2.1:40000")
		for i, s := range steps {
			answers, taken := x.take(mustParse(tcpPacket(inside1, peer, s.flags, s.payload)))
			if !taken || len(answers) != len(s.want) {
				t.Fatalf("%s, step %d: taken %v, %d answers; want %d", proxyNames[kind], i, taken, len(answers), len(s.want))
			}
			for j, a := range answers {
				p := mustParse(a)
				header := p.b[p.transport:]
				got := answer{p.Flags(), binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:]), string(p.payload())}
				if got != s.want[j] || p.Src() != peer || p.Dst() != inside1 {
					t.Errorf("%s, step %d: %v: %+v, want %+v", proxyNames[kind], i, p, got, s.want[j])
				}
				if want := reserialized(t, a); !bytes.Equal(a, want) {
					t.Errorf("%s, step %d: checksum:\ngot  %x\nwant %x", proxyNames[kind], i, a, want)
				}
			}
		}
		if len(x.conns) > 0 {
			t.Errorf("%s: %d connections after a reset", proxyNames[kind], len(x.conns))
		}
	}
}

// Sites behind another one have its proxy in front, too, and IPv6 passes it no less than IPv4.
func TestProxyOfSite(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		public := addStation(t, l, "public", SiteConfig{IPv6: true})
		outer := addStation(t, l, "eim-eif-proxysilent", SiteConfig{IPv6: true})
		home := addStation(t, l, "eim-eif", SiteConfig{Behind: outer.site})
		connect := func(s *station, from, to netip.Addr, port uint16) {
			s.site.fromHost(tcpPacket(netip.AddrPortFrom(from, 4001), netip.AddrPortFrom(to, port), SYN, ""))
		}
		for _, s := range []*station{outer, home} {
			connect(s, s.addr, public.addr, 4001)
			connect(s, s.addr, public.addr, 40000)
		}
		connect(outer, outer.addr6, public.addr6, 40000)
		rest(ms)
		for _, a := range public.got {
			if a.pkt.Dst().Port() != 4001 {
				t.Errorf("%v has passed the proxy", a.pkt)
			}
		}
		if len(public.got) != 2 || len(outer.got) != 2 || len(home.got) != 1 {
			t.Errorf("%d SYNs have arrived, and %d and %d answers; want 2, 2 and 1", len(public.got), len(outer.got), len(home.got))
		}
	})
}
