package natlab_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestConnect(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	go serveRemote(listen(t, server, 80))

	cgn := addHost(t, lab, natlab.SiteConfig{Name: "cgn", NAT: behaviour(t, "apdm-apdf-random")}).Site()
	for _, client := range []*natlab.Host{
		addHost(t, lab, natlab.SiteConfig{Name: "public"}),
		addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "eim-apdf")}),
		addHost(t, lab, natlab.SiteConfig{Name: "mobile", NAT: behaviour(t, "eim-eif"), Behind: cgn}),
	} {
		conn, err := connect(client, 4001, netip.AddrPortFrom(server.Addr(), 80), soon)
		if err != nil {
			t.Errorf("%s: %v", client.Name(), err)
			continue
		}
		b, err := io.ReadAll(conn)
		conn.Close()
		if err != nil {
			t.Error(err)
		}
		seen, err := netip.ParseAddrPort(string(b))
		if err != nil {
			t.Fatal(err)
		}
		want := client.Addr()
		switch client.Name() {
		case "home":
			want = client.Site().External()
		case "mobile":
			want = cgn.External()
		}
		if seen.Addr() != want || (seen.Port() == 4001) == (client.Name() == "mobile") {
			t.Errorf("%s: server sees %v, want %v", client.Name(), seen, want)
		}
	}
}

func TestSameSite(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	a := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "eim-apdf")})
	b, err := a.Site().AddHost("b")
	if err != nil {
		t.Fatal(err)
	}
	go serveRemote(listen(t, b, 80))
	conn, err := connect(a, 4001, netip.AddrPortFrom(b.Addr(), 80), soon)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != a.Addr().String()+":4001" {
		t.Errorf("b sees %s, %v; want a's own address", got, err)
	}
}

func TestRoundTripTime(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", Delay: 20 * time.Millisecond})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", Delay: 20 * time.Millisecond})
	listen(t, server, 80)

	best := soon
	for range 5 {
		start := time.Now()
		conn, err := connect(client, 0, netip.AddrPortFrom(server.Addr(), 80), soon)
		if err != nil {
			t.Fatal(err)
		}
		rtt := time.Since(start)
		conn.Close()
		best = min(best, rtt)
		if rtt < 80*time.Millisecond {
			t.Errorf("connected after %v, which is less than a round trip", rtt)
		}
	}
	t.Logf("best of 5: %v", best)
	if best > 100*time.Millisecond {
		t.Errorf("connected after %v at best, want 80ms and a little", best)
	}
}

func TestUnsolicitedSYN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		nat     string
		timeout time.Duration
		refused bool
	}{
		{"eim-apdf-drop", 200 * time.Millisecond, false},
		{"eim-apdf-rst", soon, true},
		{"eim-apdf-icmp", soon, true},
	} {
		for _, from := range []string{"public", "eim-apdf"} {
			t.Run(tt.nat+" from "+from, func(t *testing.T) {
				t.Parallel()
				lab := labtest.New(t, natlab.Config{})
				home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, tt.nat)})
				client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, from)})
				listen(t, home, 4001)
				conn, err := connect(client, 4002, netip.AddrPortFrom(home.Site().External(), 4001), tt.timeout)
				if err == nil {
					conn.Close()
					t.Fatal("connected")
				}
				var netErr net.Error
				timedOut := errors.As(err, &netErr) && netErr.Timeout()
				if refused := errors.Is(err, syscall.ECONNREFUSED); refused != tt.refused || timedOut == tt.refused {
					t.Error(err)
				}
			})
		}
	}
}

func TestSimultaneousOpen(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	var hosts [2]*natlab.Host
	for i, name := range []string{"alice", "bob"} {
		hosts[i] = addHost(t, lab, natlab.SiteConfig{
			Name:  name,
			NAT:   behaviour(t, "eim-apdf"),
			Delay: 150 * time.Millisecond, // long enough for both to have sent their SYN
		})
	}
	var sent [2][]string // what each kernel sends, to be read once the lab is closed
	for i, h := range hosts {
		h.Site().Tap(func(e natlab.Event) {
			if e.Place == natlab.Inside && e.Direction == natlab.Outbound {
				_, flags, _ := strings.Cut(e.String(), ":4001 > ")
				_, flags, _ = strings.Cut(flags, " ")
				sent[i] = append(sent[i], flags)
			}
		})
	}
	var local, remote [2]netip.AddrPort
	for i, h := range hosts {
		local[i] = netip.AddrPortFrom(h.Addr(), 4001)
		remote[1-i] = netip.AddrPortFrom(h.Site().External(), 4001)
	}
	conns, err := openBoth(hosts, local, remote, soon)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	for i, conn := range conns {
		conn.Close()
		if len(sent[i]) < 2 || sent[i][0] != "SYN" || sent[i][1] != "SYN+ACK" {
			t.Errorf("%s has sent %v, want SYN and SYN+ACK first", hosts[i].Name(), sent[i])
		}
	}
}

// dial is a role: it connects to the configured address, and emits what it reads.
func dial(c *labtest.Child) error {
	var addr string
	if err := c.Config(&addr); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	return c.Emit(string(b))
}

func TestStart(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "eim-apdf")})
	go serveRemote(listen(t, server, 80))
	var seen string
	labtest.Start(t, client, "dial", netip.AddrPortFrom(server.Addr(), 80)).Next(t, &seen)
	if !strings.HasPrefix(seen, client.Site().External().String()) {
		t.Errorf("server sees %s, want %v", seen, client.Site().External())
	}
}

func TestDoThatDoesNotReturn(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	host := addHost(t, lab, natlab.SiteConfig{Name: "public"})
	err := host.Do(func() error {
		runtime.Goexit() // as by a Fatal where none should be
		return nil
	})
	if err == nil {
		t.Error("no error")
	}
}

func TestForwardedPort(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", NAT: behaviour(t, "apdm-apdf-rst-random-nosyn")})
	go serveRemote(listen(t, server, 4001))
	if err := server.Site().Forward(80, netip.AddrPortFrom(server.Addr(), 4001)); err != nil {
		t.Fatal(err)
	}
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "apdm-apdf-random")})
	at := netip.AddrPortFrom(server.Site().External(), 80)
	if seen, want := dialAndRead(t, client, netip.AddrPortFrom(client.Addr(), 0), at), client.Site().External(); seen.Addr() != want {
		t.Errorf("the server sees %v, want %v", seen, want)
	}
	server.Site().ResetNAT()
	dialAndRead(t, client, netip.AddrPortFrom(client.Addr(), 0), at)
}
