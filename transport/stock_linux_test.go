package transport

import (
	"testing"
)

// TestStockPeer: with a peer that has DCUtR and no simopen, DCUtR makes the direct
// connection, as it does between two such peers. The attempt to do more is over before that,
// after one question, and without a punch.
func TestStockPeer(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	ours := peerConfig{Listen: listenTCP, HolePunching: true}
	stock := ours
	stock.Stock = true
	for name, cfgs := range map[string][2]peerConfig{
		"ours dials":   {ours, stock},
		"ours listens": {stock, ours},
		"none is ours": {stock, stock},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home, office := l.site(t, "home, "+name, "eim-apdf-rst"), l.site(t, "office, "+name, "eim-apdf-rst")
			a := l.startPeer(t, addHost(t, home, "alice, "+name), cfgs[0])
			b := l.startPeer(t, addHost(t, office, "bob, "+name), cfgs[1])
			ready(t, a, b)
			for _, p := range []*labPeer{a, b} {
				p.join(t)
				p.must(t, "dcutr")
			}
			b.reserve(t)
			d := a.dial(t, b)
			if !cfgs[0].Stock && d.Reason != ErrPeerUnsupported {
				t.Errorf("the dialler has %v, want %q", d, ErrPeerUnsupported)
			}
			// DCUtR makes the listener the dialler. It may need several attempts, and all may fail on
			// a busy machine.
			for range 2 {
				if a.look(t, b, true).Direct {
					break
				}
				a.forget(t, b)
				a.dial(t, b)
			}
			for p, other := range map[*labPeer]*labPeer{a: b, b: a} {
				if o := p.look(t, other, true); !o.Direct {
					t.Fatalf("%s has %v", p.host.Name(), o)
				}
				if got := p.conns(t, other); len(got.Direct) != 1 || got.Direct[0].Port != "4001" || len(got.DCUtR) == 0 {
					t.Errorf("%s has %+v, want one direct connection, of DCUtR's", p.host.Name(), got)
				}
			}
			wantNoPunch(t, a)
			wantNoPunch(t, b)
		})
	}
}

// wantNoPunch wants nothing in the trace but the failure of the automatic attempt.
func wantNoPunch(t *testing.T, p *labPeer) {
	t.Helper()
	for _, s := range p.steps(t) {
		if s.Kind != Started && (s.Kind != Finished || s.Reason != ErrPeerUnsupported) {
			t.Errorf("%s: %v", p.host.Name(), s)
		}
	}
}
