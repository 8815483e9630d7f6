// Package rendezvous is what peers behind NATs need in public: a circuit relay (v2) to meet
// through, and a STUN server over TCP that tells them their addresses.
package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Config is where a Server listens, and who it is.
type Config struct {
	Listen    []ma.Multiaddr // of the relay's host
	STUN      string         // host:port of the STUN server; "" for none
	Identity  crypto.PrivKey // nil for a throw-away one
	Unlimited bool           // relay connections without bounds of time and data
}

// A Server is a relay, and a STUN server if it was asked for.
type Server struct {
	host     host.Host
	relay    *relay.Relay
	stun     *stun.Server
	listener net.Listener // of stun; nil without
	failed   chan error
}

// Start starts a Server. Shutdown must be called.
func Start(cfg Config) (*Server, error) {
	s := &Server{stun: stun.NewServer(nil), failed: make(chan error, 1)}
	if cfg.STUN != "" {
		var err error
		if s.listener, err = stunserver.Listen(cfg.STUN); err != nil {
			return nil, fmt.Errorf("STUN server: %w", err)
		}
	}
	if err := s.startRelay(cfg); err != nil {
		if s.listener != nil {
			s.listener.Close()
		}
		return nil, fmt.Errorf("relay: %w", err)
	}
	if s.listener != nil {
		go func() {
			if err := s.stun.Serve(s.listener); !errors.Is(err, stun.ErrServerClosed) {
				s.failed <- fmt.Errorf("STUN server: %w", err)
			}
		}()
	}
	return s, nil
}

func (s *Server) startRelay(cfg Config) (err error) {
	// libp2p's TCP transport shares its port with any other process of this user that does so, and
	// peers would meet one relay or the other.
	for _, a := range cfg.Listen {
		if l, err := manet.Listen(a); err == nil {
			l.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	opts := []libp2p.Option{libp2p.ListenAddrs(cfg.Listen...), libp2p.DisableMetrics()}
	if cfg.Identity != nil {
		opts = append(opts, libp2p.Identity(cfg.Identity))
	}
	if s.host, err = libp2p.New(opts...); err != nil {
		return err
	}
	var limits []relay.Option
	if cfg.Unlimited {
		limits = append(limits, relay.WithInfiniteLimits())
	}
	// By itself, not by libp2p.EnableRelayService: that one waits until AutoNAT has found the host
	// to be public.
	if s.relay, err = relay.New(s.host, limits...); err != nil {
		s.host.Close()
	}
	return err
}

// Info returns the relay's peer ID and addresses.
func (s *Server) Info() peer.AddrInfo { return peer.AddrInfo{ID: s.host.ID(), Addrs: s.host.Addrs()} }

// STUNAddr returns where the STUN server listens, if there is one.
func (s *Server) STUNAddr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Failed delivers the error that the server cannot go on after.
func (s *Server) Failed() <-chan error { return s.failed }

// Shutdown ends the server. STUN requests that have arrived are answered before, unless ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.Join(s.stun.Shutdown(ctx), s.relay.Close(), s.host.Close())
}
