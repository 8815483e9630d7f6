package gather

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// TestLinks: the loopback interface is there, and no LAN candidate is public.
func TestLinks(t *testing.T) {
	t.Parallel()
	g := New(Config{})
	if links := g.listLinks(); !slices.Contains(links, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("got %v", links)
	}
	for _, c := range g.LANCandidates(5000) {
		if c.Kind != punch.LAN || !c.Addr.Addr().IsPrivate() || c.Addr.Port() != 5000 {
			t.Errorf("got %v", c)
		}
	}
}

// TestLinksRefused: where the system does not list the host's addresses, those that it sends from
// are known, if there are any.
func TestLinksRefused(t *testing.T) {
	t.Parallel()
	g := New(Config{})
	g.listAddrs = func() ([]net.Addr, error) { return nil, errors.New("netlinkrib: permission denied") }
	g.sourceAddr = func(to netip.AddrPort) (netip.Addr, error) {
		if to.Addr().Is4() {
			return netip.MustParseAddr("192.168.1.7"), nil
		}
		return netip.Addr{}, errFake
	}
	if got, want := g.listLinks(), []netip.Prefix{netip.MustParsePrefix("192.168.1.7/32")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
