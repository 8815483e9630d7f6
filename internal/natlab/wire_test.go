package natlab

import (
	"net/netip"
	"testing"
	"time"
)

func TestJitterKeepsOrder(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "public", SiteConfig{Delay: 5 * ms, Jitter: 50 * ms})
		b := addStation(t, l, "public", SiteConfig{Delay: 5 * ms, Jitter: 50 * ms})
		const n = 200
		for i := range uint16(n) {
			a.send(netip.AddrPortFrom(b.addr, i))
			rest(ms)
		}
		rest(time.Second)
		if len(b.got) != n {
			t.Fatalf("%d packets have arrived of %d", len(b.got), n)
		}
		late := 0
		for i, g := range b.got {
			if g.pkt.Dst().Port() != uint16(i) {
				t.Fatalf("number %d comes as number %d", g.pkt.Dst().Port(), i)
			}
			took := g.after - time.Duration(i)*ms
			if took < 10*ms || took > 110*ms {
				t.Errorf("number %d took %v", i, took)
			}
			if took > 30*ms {
				late++
			}
		}
		if late == 0 {
			t.Error("there is no jitter")
		}
	})
}
