package natlab_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// onCoreAndBridge runs a test in a lab of each kind.
func onCoreAndBridge(t *testing.T, f func(*testing.T, *natlab.Lab)) {
	t.Parallel()
	for name, bridge := range map[string]bool{"core": false, "bridge": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, labtest.New(t, natlab.Config{Bridge: bridge}))
		})
	}
}

func TestKernelTranslates(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		at := netip.AddrPortFrom(server.Addr(), 80)
		go serveRemote(listen(t, server, 80))
		for _, nat := range []string{"kernel", "kernel-rst-invalid", "kernel-accept-persistent"} {
			home := addHost(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
			want := netip.AddrPortFrom(home.Site().External(), 4001)
			if seen := dialAndRead(t, home, netip.AddrPortFrom(home.Addr(), 4001), at); seen != want {
				t.Errorf("%s: the server sees %v, want %v", nat, seen, want)
			}
		}
	})
}

// TestKernelUnsolicited: a stranger's SYN gets what the words say.
func TestKernelUnsolicited(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		stranger := addHost(t, lab, natlab.SiteConfig{Name: "stranger"})
		for nat, refused := range map[string]bool{
			"kernel-drop": false, "kernel-rst": true, "kernel-accept": true,
			"kernel-firewall": false, "kernel-rst-firewall": true,
		} {
			home := addHost(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
			listen(t, home, 4001)
			to := netip.AddrPortFrom(home.Site().External(), 4001)
			timeout := soon
			if !to.IsValid() {
				to = netip.AddrPortFrom(home.Addr(), 4001)
			}
			if !refused {
				timeout = 200 * time.Millisecond
			}
			conn, err := connect(stranger, 0, to, timeout)
			if err == nil {
				conn.Close()
				t.Errorf("%s: connected", nat)
				continue
			}
			var netErr net.Error
			timedOut := errors.As(err, &netErr) && netErr.Timeout()
			if errors.Is(err, syscall.ECONNREFUSED) != refused || timedOut == refused {
				t.Errorf("%s: %v", nat, err)
			}
		}
	})
}

// TestKernelPorts: several hosts' connections from one port leave by the ports and addresses that
// the words say.
func TestKernelPorts(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		const connections = 12
		var at []netip.AddrPort
		for i := range connections {
			port := uint16(80 + i)
			go serveRemote(listen(t, server, port))
			at = append(at, netip.AddrPortFrom(server.Addr(), port))
		}
		for nat, ok := range map[string]func(ports, addrs []uint16) bool{
			"kernel":                  func(p, a []uint16) bool { return len(p) == 1 && p[0] == 4001 && len(a) == 1 },
			"kernel-random":           func(p, a []uint16) bool { return len(p) > connections/2 && len(a) == 1 },
			"kernel-fullyrandom":      func(p, a []uint16) bool { return len(p) > connections/2 && len(a) == 1 },
			"kernel-snat4":            func(p, a []uint16) bool { return len(p) == 1 && p[0] == 4001 && len(a) > 1 && len(a) <= 4 },
			"kernel-persistent-snat4": func(p, a []uint16) bool { return len(p) == 1 && p[0] == 4001 && len(a) == 1 },
			"kernel-blocks16":         func(p, a []uint16) bool { return len(p) == 1 && inBlock(p) && len(a) == 1 },
			"kernel-blocks16-snat4":   func(p, a []uint16) bool { return len(p) <= len(a) && inBlock(p) && len(a) > 1 },
			"kernel-rst-firewall":     func(p, a []uint16) bool { return len(p) == 1 && p[0] == 4001 && len(a) == 1 },
		} {
			home := addHost(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
			var ports, addrs []uint16
			for _, at := range at { // 12 draws all alike: less than once in 10^6
				seen := dialAndRead(t, home, netip.AddrPortFrom(home.Addr(), 4001), at)
				ports = append(ports, seen.Port())
				addrs = append(addrs, uint16(seen.Addr().As4()[3]))
			}
			slices.Sort(ports)
			slices.Sort(addrs)
			ports, addrs = slices.Compact(ports), slices.Compact(addrs)
			if !ok(ports, addrs) {
				t.Errorf("%s: ports %v, last bytes of addresses %v", nat, ports, addrs)
			}
		}
	})
}

// TestKernelSimultaneousOpen: the kernels of two routers let each other's SYNs in, once both hosts
// have sent one.
func TestKernelSimultaneousOpen(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		var hosts [2]*natlab.Host
		var local, remote [2]netip.AddrPort
		for i, nat := range []string{"kernel", "kernel-invalid"} {
			hosts[i] = addHost(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
			local[i] = netip.AddrPortFrom(hosts[i].Addr(), 4001)
			remote[1-i] = netip.AddrPortFrom(hosts[i].Site().External(), 4001)
		}
		conns, err := openBoth(hosts, local, remote, soon)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

func TestKernelReset(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		l := listen(t, server, 80)
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel")})
		conn, err := connect(home, 4001, netip.AddrPortFrom(server.Addr(), 80), soon)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		home.Site().ResetNAT()
		// The router does not know the connection any more, and refuses what comes for it.
		if err := home.Site().SetNAT(behaviour(t, "kernel-accept")); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write([]byte{'x'}); err != nil {
			t.Fatal(err)
		}
		_ = other.SetReadDeadline(time.Now().Add(soon))
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	})
}

func inBlock(ports []uint16) bool {
	return ports[0] >= 40960 && ports[len(ports)-1] < 40960+16
}

func TestKernelForwardsPort(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel-random")})
		go serveRemote(listen(t, home, 4001))
		if err := home.Site().Forward(80, netip.AddrPortFrom(home.Addr(), 4001)); err != nil {
			t.Fatal(err)
		}
		client := addHost(t, lab, natlab.SiteConfig{Name: "client"})
		at := netip.AddrPortFrom(home.Site().External(), 80)
		for range 2 {
			if seen := dialAndRead(t, client, netip.AddrPortFrom(client.Addr(), 0), at); seen.Addr() != client.Addr() {
				t.Errorf("the server sees %v, want %v", seen, client.Addr())
			}
			home.Site().ResetNAT()
		}
		if err := home.Site().Forward(80, netip.AddrPortFrom(home.Addr().Next(), 4001)); err == nil {
			t.Error("a port is forwarded to nobody")
		}
	})
}

// TestKernelBehind: a home behind a carrier, in each combination of kernel and emulation.
func TestKernelBehind(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	go serveRemote(listen(t, server, 80))
	for _, nat := range [][2]string{
		{"kernel", "kernel-rst"},
		{"kernel-snat4", "eim-apdf"},
		{"apdm-apdf-random", "kernel-accept"},
	} {
		carrier := labtest.AddSite(t, lab, natlab.SiteConfig{Name: nat[0], NAT: behaviour(t, nat[0])})
		home := addHost(t, lab, natlab.SiteConfig{Name: nat[1], NAT: behaviour(t, nat[1]), Behind: carrier})
		seen := dialAndRead(t, home, netip.AddrPortFrom(home.Addr(), 4001), netip.AddrPortFrom(server.Addr(), 80))
		if !netip.PrefixFrom(carrier.External(), 24).Contains(seen.Addr()) {
			t.Errorf("%s behind %s: the server sees %v, want %v", nat[1], nat[0], seen, carrier.External())
		}
	}
}

// TestKernelNoSYN: the rule drops a SYN that answers a SYN, and lets a SYN+ACK in.
func TestKernelNoSYN(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		for _, nat := range []string{"kernel-nosyn", "kernel-nosyn-firewall"} {
			home := addHost(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
			external := home.Site().External()
			if !external.IsValid() {
				external = home.Addr()
			}
			hosts := [2]*natlab.Host{server, home}
			remote := [2]netip.AddrPort{netip.AddrPortFrom(external, 4001), netip.AddrPortFrom(server.Addr(), 4001)}
			local := [2]netip.AddrPort{remote[1], netip.AddrPortFrom(home.Addr(), 4001)}
			// The server's own filter keeps it from accepting the home's SYN.
			if err := server.Site().SetNAT(behaviour(t, "kernel-nosyn-firewall")); err != nil {
				t.Fatal(err)
			}
			if _, err := openBoth(hosts, local, remote, 300*time.Millisecond); err == nil {
				t.Errorf("%s: two that drop SYNs have opened a connection", nat)
			}
			if err := server.Site().SetNAT(behaviour(t, "kernel-firewall")); err != nil {
				t.Fatal(err)
			}
			home.Site().ResetNAT()
			conns, err := openBoth(hosts, local, remote, soon)
			if err != nil {
				t.Errorf("%s: %v", nat, err)
				continue
			}
			for _, c := range conns {
				c.Close()
			}
		}
	})
}

func TestKernelOfTwoKinds(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	for nat, others := range map[string][]string{
		"kernel":          {"eim-apdf", "public", "kernel-firewall"},
		"eim-apdf":        {"kernel"},
		"kernel-firewall": {"kernel", "eim-apdf"},
	} {
		site := labtest.AddSite(t, lab, natlab.SiteConfig{Name: nat, NAT: behaviour(t, nat)})
		for _, other := range others {
			if err := site.SetNAT(behaviour(t, other)); err == nil {
				t.Errorf("%s has become %s", nat, other)
			}
		}
	}
	if _, err := lab.AddSite(natlab.SiteConfig{NAT: behaviour(t, "kernel"), IPv6: true}); err == nil {
		t.Error("IPv6 behind a kernel that filters IPv4 alone")
	}
}
