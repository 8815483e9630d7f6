package natlab

import (
	"net/netip"
	"testing"

	manet "github.com/multiformats/go-multiaddr/net"
)

// go-libp2p must take outer addresses for public ones, and inner ones for private.
func TestAddressesForLibp2p(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		home := addStation(t, l, "eim-eif", SiteConfig{IPv6: true})
		public := addStation(t, l, "public", SiteConfig{IPv6: true})
		for addr, want := range map[netip.Addr]bool{
			public.addr:          true,
			public.addr6:         true,
			home.site.External(): true,
			home.addr:            false,
			home.addr6:           true,
		} {
			a, err := manet.FromIP(addr.AsSlice())
			if err != nil {
				t.Fatal(err)
			}
			if got := manet.IsPublicAddr(a); got != want {
				t.Errorf("%s is public: %v, want %v", addr, got, want)
			}
		}
	})
}
