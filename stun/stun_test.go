package stun_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// roles are what a child process in the lab can be.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) {
	labtest.Parallel(24) // they use less than a tenth of a core each
	labtest.Main(m, roles)
}

// serve runs a server on loopback until the test ends, and returns its address.
func serve(tb testing.TB, cfg *stun.ServerConfig) netip.AddrPort {
	tb.Helper()
	s := stun.NewServer(cfg)
	return serveOn(tb, s, "127.0.0.1:0")
}

// serveOn lets s serve a new listener on address until the test ends.
func serveOn(tb testing.TB, s *stun.Server, address string) netip.AddrPort {
	tb.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	return serveOnListener(tb, s, l)
}

// serveListener runs a server on l until the test ends.
func serveListener(tb testing.TB, cfg *stun.ServerConfig, l net.Listener) netip.AddrPort {
	tb.Helper()
	return serveOnListener(tb, stun.NewServer(cfg), l)
}

func serveOnListener(tb testing.TB, s *stun.Server, l net.Listener) netip.AddrPort {
	tb.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if err := <-served; err != stun.ErrServerClosed {
			tb.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}
