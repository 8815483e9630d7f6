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

// TestFilterEgress: a host's own firewall refuses at once.
func TestFilterEgress(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", IPv6: true})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", IPv6: true})
	if err := client.FilterEgress(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		client, server netip.Addr
		want           error
	}{{client.Addr(), server.Addr(), syscall.EHOSTUNREACH}, {client.Addr6(), server.Addr6(), syscall.EACCES}} {
		from, to := netip.AddrPortFrom(tt.client, 0), tt.server
		_, err := connectFrom(client, from, netip.AddrPortFrom(to, 40000), soon)
		if !errors.Is(err, tt.want) {
			t.Errorf("got %v, want %v", err, tt.want)
		}
		open := netip.AddrPortFrom(to, 443)
		go serveRemote(listenOn(t, server, open))
		dialAndRead(t, client, from, open)
		// Connections from outside are answered.
		back := netip.AddrPortFrom(tt.client, 40000)
		go serveRemote(listenOn(t, client, back))
		dialAndRead(t, server, netip.AddrPortFrom(to, 0), back)
	}
}

// TestEgressInLab: what a host's kernel makes of each refusal, which the destination knows nothing
// of.
func TestEgressInLab(t *testing.T) {
	t.Parallel()
	const oneWay = 100 * time.Millisecond
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", IPv6: true, Delay: oneWay})
	server.Site().Tap(func(e natlab.Event) {
		if p, err := natlab.Parse(e.Packet); err == nil && p.TCP() && p.Dst().Port() == 40000 {
			t.Errorf("%v", e)
		}
	})
	for _, addr := range []netip.Addr{server.Addr(), server.Addr6()} {
		listenOn(t, server, netip.AddrPortFrom(addr, 443))
	}
	for _, tt := range []struct {
		nat      string
		ipv4     error // nil for a timeout
		ipv6     error
		patience time.Duration
	}{
		{"eim-apdf-egressdrop", nil, nil, 300 * time.Millisecond},
		{"eim-apdf-egressrst", syscall.ECONNREFUSED, syscall.ECONNREFUSED, soon},
		{"eim-apdf-egressicmp", syscall.EHOSTUNREACH, syscall.EACCES, soon},
	} {
		client := addHost(t, lab, natlab.SiteConfig{Name: tt.nat, NAT: behaviour(t, tt.nat), IPv6: true})
		for _, at := range []struct {
			from, to netip.Addr
			want     error
		}{{client.Addr(), server.Addr(), tt.ipv4}, {client.Addr6(), server.Addr6(), tt.ipv6}} {
			t.Run(tt.nat+" to "+at.to.String(), func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				_, err := connectFrom(client, netip.AddrPortFrom(at.from, 0), netip.AddrPortFrom(at.to, 40000), tt.patience)
				took := time.Since(begin)
				t.Logf("after %v: %v", took, err)
				var netErr net.Error
				if timeout := errors.As(err, &netErr) && netErr.Timeout(); timeout != (at.want == nil) || !timeout && !errors.Is(err, at.want) {
					t.Errorf("want %v", at.want)
				}
				conn, err := connectFrom(client, netip.AddrPortFrom(at.from, 0), netip.AddrPortFrom(at.to, 443), soon)
				if err != nil {
					t.Fatalf("to an open port: %v", err)
				}
				conn.Close()
			})
		}
	}
}
