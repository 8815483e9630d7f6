package transport

import (
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// TestKeepAlive: NATs that forget an idle connection soon are reminded of it, and of the ports
// that are warm. TCP does so every 15 s, as Go sets it, and on direct connections more often.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	const forgets = 20 * time.Second // the kernel's timers may be late by an eighth
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-apdf"), l.site(t, "office", "eim-apdf")
	for _, s := range []*natlab.Site{home, office} {
		nat := s.NAT()
		nat.Forgets = forgets
		if err := s.SetNAT(nat); err != nil {
			t.Fatal(err)
		}
	}
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
	a.join(t)
	b.join(t)
	var before, after string
	b.do(t, &before, command{Do: "reflexive"})
	d, _ := punch(t, a, b)
	if !d.Direct {
		t.Fatal(d)
	}
	at, ok := fromMultiaddr(ma.StringCast(d.Remote))
	if !ok {
		t.Fatalf("%s is no TCP address", d.Remote)
	}
	late := seen(home, at, time.Now().Add(forgets))
	select {
	case e := <-late:
		if e.Fate != natlab.Forwarded {
			t.Errorf("after %v of silence: %v", forgets, e)
		}
	case <-testContext(t).Done():
		t.Fatal("nothing was sent to keep the connection alive")
	}
	b.ping(t, a.id, "direct")
	if b.do(t, &after, command{Do: "reflexive"}); after != before {
		t.Errorf("the port is at %s, and was at %s", after, before)
	}
}

// seen sends the first TCP packet from outside that reaches the site's NAT from an address at or
// after a time.
func seen(s *natlab.Site, from netip.AddrPort, since time.Time) <-chan natlab.Event {
	events := make(chan natlab.Event, 1)
	s.Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err != nil || e.Place != natlab.Outside || e.Direction != natlab.Inbound || p.Src() != from || e.Time.Before(since) {
			return
		}
		select {
		case events <- e:
		default:
		}
	})
	return events
}
