package stun_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// servePlain runs a server that knows nothing but Binding, until the test ends. see returns the
// address that the server reports to its nth connection, from 0; the zero AddrPort is no answer.
func servePlain(t *testing.T, see func(n int, remote netip.AddrPort) netip.AddrPort) (address string) {
	t.Helper()
	return servePlainOn(t, "127.0.0.1", see)
}

// servePlainOn is servePlain at a given IP address.
func servePlainOn(t *testing.T, ip string, see func(n int, remote netip.AddrPort) netip.AddrPort) (address string) {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = l.Close() })
	serving.Go(func() {
		for n := 0; ; n++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				answerPlain(nc, see(n, nc.RemoteAddr().(*net.TCPAddr).AddrPort()))
			})
		}
	})
	return l.Addr().String()
}

// answerPlain answers until the client hangs up.
func answerPlain(nc net.Conn, mapped netip.AddrPort) {
	for {
		req := &pion.Message{Raw: make([]byte, 20)}
		if _, err := io.ReadFull(nc, req.Raw); err != nil {
			return
		}
		req.Raw = append(req.Raw, make([]byte, int(req.Raw[2])<<8|int(req.Raw[3]))...)
		if _, err := io.ReadFull(nc, req.Raw[20:]); err != nil || req.Decode() != nil {
			return
		}
		if !mapped.IsValid() {
			continue
		}
		resp := pion.MustBuild(req, pion.BindingSuccess, &pion.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: int(mapped.Port())})
		if _, err := nc.Write(resp.Raw); err != nil {
			return
		}
	}
}

// TestProbesDoNotScan asks a server that reports the right address once, and then somebody else's
// port: the host does not connect there.
func TestProbesDoNotScan(t *testing.T) {
	t.Parallel()
	victim, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lie := victim.Addr().(*net.TCPAddr).AddrPort()
	r, err := stun.Discover(t.Context(), []string{servePlain(t, func(n int, remote netip.AddrPort) netip.AddrPort {
		if n == 0 {
			return remote
		}
		return lie
	})})
	if err != nil {
		t.Fatal(err)
	}
	if r.Hairpin != stun.Unknown || r.Ports != stun.PortsUnknown || r.Persistent != stun.Unknown {
		t.Errorf("concluded from lies: %+v", r.Behaviour)
	}
	// Clients that have connected by now are in the queue, before this one.
	own, err := net.Dial("tcp4", lie.String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	nc, err := victim.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = victim.Close()
	if got, want := nc.RemoteAddr().String(), own.LocalAddr().String(); got != want {
		t.Errorf("the host connected from %s to a port that the server named", got)
	}
}

// TestDiscoverOnLoopback asks an honest server.
func TestDiscoverOnLoopback(t *testing.T) {
	t.Parallel()
	r, err := stun.Discover(t.Context(), []string{servePlain(t, func(_ int, remote netip.AddrPort) netip.AddrPort { return remote })})
	if err != nil {
		t.Fatal(err)
	}
	if r.Hairpin != stun.Yes || r.Ports != stun.Preserved || r.Persistent != stun.Yes || !r.Complete {
		t.Errorf("got %+v", r)
	}
}

func TestCredible(t *testing.T) {
	agreed := []netip.Addr{netip.MustParseAddr("46.0.2.1"), netip.MustParseAddr("46.0.2.2"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.7")}
	for _, tt := range []struct {
		server, local, mapped string
		want                  bool
	}{
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.1:5000", true},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.2:1024", true},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.1:1023", false},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.3:5000", false}, // no other server sees that
		{"46.0.1.1", "192.168.1.2:4000", "127.0.0.1:5000", false},
		{"46.0.1.1", "192.168.1.2:4000", "10.0.0.7:5000", false},
		{"10.0.0.1", "192.168.1.2:4000", "10.0.0.7:5000", true},
		{"10.0.0.1", "192.168.1.2:4000", "127.0.0.1:5000", false},
		{"46.0.1.1", "46.0.2.1:4000", "46.0.2.1:4000", true}, // no NAT
		{"46.0.1.1", "46.0.2.1:4000", "46.0.2.1:5000", false},
		{"127.0.0.1", "127.0.0.1:4000", "127.0.0.1:4000", true},
		{"127.0.0.1", "127.0.0.1:4000", "127.0.0.1:5000", false},
		{"127.0.0.1", "127.0.0.2:4000", "127.0.0.1:5000", false},
	} {
		local, mapped := netip.MustParseAddrPort(tt.local), netip.MustParseAddrPort(tt.mapped)
		if got := stun.Credible(netip.MustParseAddr(tt.server), local, mapped, agreed); got != tt.want {
			t.Errorf("%s sees %s at %s: %v, want %v", tt.server, local, mapped, got, tt.want)
		}
	}
}

// TestDiscoverCutOff ends the context as soon as the first probe asks: what is known by then is
// reported, as incomplete.
func TestDiscoverCutOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := stun.Discover(ctx, []string{servePlain(t, func(n int, remote netip.AddrPort) netip.AddrPort {
		if n == 0 {
			return remote
		}
		cancel()
		return netip.AddrPort{}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || len(r.Addrs) != 1 || r.Ports != stun.PortsUnknown {
		t.Errorf("got %+v", r)
	}
}
