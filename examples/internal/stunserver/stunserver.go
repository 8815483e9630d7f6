// Package stunserver runs a STUN server on several endpoints, over TCP and UDP.
package stunserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// A Server serves until Shutdown or Close.
type Server struct {
	*stun.Server
	// At is where it serves, over TCP and UDP.
	At     []netip.AddrPort
	failed chan error
}

// Endpoints returns the four combinations of the addresses and ports of two endpoints, or fewer if
// they have them in common.
func Endpoints(a, b netip.AddrPort) []netip.AddrPort {
	var all []netip.AddrPort
	seen := make(map[netip.AddrPort]bool)
	for _, ip := range []netip.Addr{a.Addr(), b.Addr()} {
		for _, port := range []uint16{a.Port(), b.Port()} {
			if e := netip.AddrPortFrom(ip, port); !seen[e] {
				seen[e] = true
				all = append(all, e)
			}
		}
	}
	return all
}

// Start serves at each endpoint, over TCP and UDP.
func Start(cfg *stun.ServerConfig, endpoints []netip.AddrPort) (*Server, error) {
	s := &Server{Server: stun.NewServer(cfg), failed: make(chan error, 2*len(endpoints))}
	serve := func(f func() error) {
		go func() {
			if err := f(); !errors.Is(err, stun.ErrServerClosed) {
				s.failed <- err
			}
		}()
	}
	for _, e := range endpoints {
		l, err := Listen(address(e))
		if err == nil {
			serve(func() error { return s.Serve(l) })
			at := netip.AddrPortFrom(e.Addr(), uint16(l.Addr().(*net.TCPAddr).Port)) // e may have 0
			s.At = append(s.At, at)
			var pc net.PacketConn
			if pc, err = net.ListenPacket("udp", address(at)); err == nil {
				serve(func() error { return s.ServePacket(pc) })
			}
		}
		if err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("STUN server: %w", err)
		}
	}
	return s, nil
}

// address returns an endpoint's address to listen at. For IPv6's unspecified address that is the
// one of both families, also where there is no IPv6.
func address(e netip.AddrPort) string {
	if e.Addr() == netip.IPv6Unspecified() {
		return fmt.Sprintf(":%d", e.Port())
	}
	return e.String()
}

// Listen listens for a STUN server. It leaves out what takes a fifth of the CPU time of a
// connection with one request: keep-alives, for clients ask now and then and silent ones are hung
// up on, and Multipath TCP, for clients ask about the mapping of one path.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", address)
}

// Failed delivers the error that the server cannot go on after.
func (s *Server) Failed() <-chan error { return s.failed }
