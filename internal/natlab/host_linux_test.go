package natlab_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestAddAddr(t *testing.T) {
	t.Parallel()
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

// TestMove: a host that has moved sends from its new address, and is reached there.
func TestMove(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client"})
	at := netip.AddrPortFrom(server.Addr(), 80)
	go serveRemote(listenOn(t, server, at))
	before := client.Addr()
	if err := client.Move(); err != nil {
		t.Fatal(err)
	}
	if client.Addr() == before {
		t.Errorf("it still has %v", before)
	}
	if seen := dialAndRead(t, client, netip.AddrPort{}, at); seen.Addr() != client.Addr() {
		t.Errorf("it is seen at %v, want %v", seen, client.Addr())
	}
}

// TestRotateAddr6: a host sends from its new address, and the one before is of use as well.
func TestRotateAddr6(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", IPv6: true})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "eim-apdf"), IPv6: true})
	at := netip.AddrPortFrom(server.Addr6(), 80)
	go serveRemote(listenOn(t, server, at))
	before := client.Addr6()
	for range 2 {
		if err := client.RotateAddr6(); err != nil {
			t.Fatal(err)
		}
		if seen := dialAndRead(t, client, netip.AddrPortFrom(netip.IPv6Unspecified(), 0), at); seen.Addr() == before || seen.Addr() != client.Addr6() {
			t.Errorf("it is seen at %v, want %v", seen, client.Addr6())
		}
		if seen := dialAndRead(t, client, netip.AddrPortFrom(before, 0), at); seen.Addr() != before {
			t.Errorf("it is seen at %v, want %v", seen, before)
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

// TestHold: a process stands still, and goes on.
func TestHold(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	cmd := exec.Command("sleep", "60")
	if err := addHost(t, lab, natlab.SiteConfig{Name: "public"}).Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	held := make(chan error, 1)
	go func() { held <- natlab.Hold(cmd.Process, 200*time.Millisecond) }()
	for !stopped(t, cmd.Process.Pid) {
		select {
		case err := <-held:
			t.Fatalf("it never stood still: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	for stopped(t, cmd.Process.Pid) {
		time.Sleep(time.Millisecond) // until the kernel has woken it
	}
}

// stopped reports whether a process stands still (proc_pid_stat(5)).
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(stat), ") T ")
}
