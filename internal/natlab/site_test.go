package natlab

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// go-libp2p must take outer addresses for public ones, and inner ones for private.
func TestAddressesForLibp2p(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		home := addStation(t, l, "eim-eif", SiteConfig{})
		public := addStation(t, l, "public", SiteConfig{})
		for addr, want := range map[string]bool{
			public.addr.String():          true,
			home.site.External().String(): true,
			home.addr.String():            false,
		} {
			a := ma.StringCast("/ip4/" + addr)
			if got := manet.IsPublicAddr(a); got != want {
				t.Errorf("%s is public: %v, want %v", addr, got, want)
			}
		}
	})
}
