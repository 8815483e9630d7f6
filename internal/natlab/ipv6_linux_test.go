package natlab_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// connect6 connects over IPv6 from port 4001 of one host to that of another.
func connect6(from, to *natlab.Host, timeout time.Duration) (net.Conn, error) {
	return connectFrom(from, netip.AddrPortFrom(from.Addr6(), 4001), netip.AddrPortFrom(to.Addr6(), 4001), timeout)
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", IPv6: true})
	home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "apdm-apdf-random"), IPv6: true})
	if h := addHost(t, lab, natlab.SiteConfig{Name: "old"}); h.Addr6().IsValid() {
		t.Errorf("a site without IPv6 has %v", h.Addr6())
	}
	from, at := netip.AddrPortFrom(home.Addr6(), 4001), netip.AddrPortFrom(server.Addr6(), 80)
	go serveRemote(listenOn(t, server, at))
	if seen := dialAndRead(t, home, from, at); seen != from {
		t.Errorf("the server sees %v, want %v", seen, from)
	}
}

func TestIPv6Unsolicited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		nat     string
		timeout time.Duration
		refused bool
	}{
		{"eim-eif-drop", 200 * time.Millisecond, false},
		{"eim-eif-rst", soon, true},
		{"eim-eif-icmp", soon, true},
	} {
		lab := labtest.New(t, natlab.Config{})
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, tt.nat), IPv6: true})
		client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "eim-eif"), IPv6: true})
		listenOn(t, home, netip.AddrPortFrom(home.Addr6(), 4001))
		conn, err := connect6(client, home, tt.timeout)
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", tt.nat)
			continue
		}
		if refused := errors.Is(err, syscall.ECONNREFUSED); refused != tt.refused {
			t.Errorf("%s: %v", tt.nat, err)
		}
	}
}

func TestIPv6SimultaneousOpen(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	var hosts [2]*natlab.Host
	var local, remote [2]netip.AddrPort
	for i, name := range []string{"alice", "bob"} {
		hosts[i] = addHost(t, lab, natlab.SiteConfig{
			Name:  name,
			NAT:   behaviour(t, "apdm-apdf-random"), // all of it is about IPv4
			Delay: 150 * time.Millisecond,
			IPv6:  true,
		})
		local[i] = netip.AddrPortFrom(hosts[i].Addr6(), 4001)
		remote[1-i] = local[i]
	}
	conns, err := openBoth(hosts, local, remote, soon)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		c.Close()
	}
}
