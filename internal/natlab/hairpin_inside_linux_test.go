package natlab_test

import (
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestHairpinInsideInLab: a host that listens behind the NAT is reached at its external endpoint by
// a neighbour, and sees the router's inside address as the neighbour's.
func TestHairpinInsideInLab(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	at := netip.AddrPortFrom(server.Addr(), 80)
	go serveRemote(listenOn(t, server, at))
	alice := addHost(t, lab, natlab.SiteConfig{Name: "alice", NAT: behaviour(t, "eim-eif-hairpininside")})
	bob, err := alice.Site().AddHost("bob")
	if err != nil {
		t.Fatal(err)
	}
	own := netip.AddrPortFrom(alice.Addr(), 4001)
	external := dialAndRead(t, alice, own, at)
	go serveRemote(listenOn(t, alice, own))
	router := alice.Addr().As4()
	router[3] = 254
	want := netip.AddrPortFrom(netip.AddrFrom4(router), 4002)
	if seen := dialAndRead(t, bob, netip.AddrPortFrom(bob.Addr(), 4002), external); seen != want {
		t.Errorf("alice sees bob at %v, want %v", seen, want)
	}
}
