package natlab_test

import (
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestAddAddr(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	second, err := server.AddAddr()
	if err != nil {
		t.Fatal(err)
	}
	if want := server.Addr().Next(); second != want {
		t.Errorf("got %v, want %v", second, want)
	}
	// A host after it has an address of its own.
	third, err := server.Site().AddHost("third")
	if err != nil {
		t.Fatal(err)
	}
	if want := second.Next(); third.Addr() != want {
		t.Errorf("the next host has %v, want %v", third.Addr(), want)
	}
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "eim-apdf")})
	for _, addr := range []netip.Addr{server.Addr(), second} {
		at := netip.AddrPortFrom(addr, 80)
		go serveRemote(listenOn(t, server, at))
		if seen, want := dialAndRead(t, client, netip.AddrPortFrom(client.Addr(), 0), at), client.Site().External(); seen.Addr() != want {
			t.Errorf("%v sees %v, want %v", at, seen, want)
		}
	}
}

func TestAddAddrAfterClose(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	host := addHost(t, lab, natlab.SiteConfig{Name: "public"})
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	if addr, err := host.AddAddr(); err == nil {
		t.Errorf("a closed lab gives the address %v", addr)
	}
}
