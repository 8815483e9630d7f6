// Package rendezvous is what peers behind NATs need in public: a circuit relay (v2) to meet
// through, and a STUN server over TCP that reports their addresses to them.
package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Config has where a Server listens, its identity, and which peers it serves.
type Config struct {
	Listen   []ma.Multiaddr        // of the relay's host
	Announce []ma.Multiaddr        // announces these addresses, in place of the interfaces'
	STUN     string                // host:port of the STUN server; "" for none
	Identity crypto.PrivKey        // nil for a throw-away one
	Allow    []peer.ID             // relays for these peers alone; nil for all
	Limits   *Limits               // nil for the defaults of go-libp2p and of package stun
	Metrics  prometheus.Registerer // nil for no metrics
}

// A Server is a relay, and a STUN server if it was asked for.
type Server struct {
	host     host.Host
	relay    *relay.Relay
	returned *returned
	tally    *tally
	stun     *stun.Server
	listener net.Listener // of stun; nil without
	failed   chan error
}

// Start starts a Server. Shutdown must be called.
func Start(cfg Config) (*Server, error) {
	var stunConfig stun.ServerConfig
	if cfg.Limits != nil {
		stunConfig = cfg.Limits.STUN
	}
	s := &Server{tally: newTally(cfg.Metrics), stun: stun.NewServer(&stunConfig), failed: make(chan error, 1)}
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
		return nil, err
	}
	if s.listener == nil {
		return s, nil
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(stunserver.Collector(s.stun.Stats))
	}
	go func() {
		if err := s.stun.Serve(s.listener); !errors.Is(err, stun.ErrServerClosed) {
			s.failed <- fmt.Errorf("STUN server: %w", err)
		}
	}()
	return s, nil
}

func (s *Server) startRelay(cfg Config) error {
	if err := probe(cfg.Listen); err != nil {
		return err
	}
	opts := []libp2p.Option{libp2p.ListenAddrs(cfg.Listen...)}
	relayOpts := []relay.Option{relay.WithMetricsTracer(s.tally)}
	if cfg.Metrics != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(cfg.Metrics))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	if cfg.Identity != nil {
		opts = append(opts, libp2p.Identity(cfg.Identity))
	}
	if cfg.Announce != nil {
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return cfg.Announce }))
		// By default a reservation has public addresses only.
		relayOpts = append(relayOpts, relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true }))
	}
	if cfg.Allow != nil {
		relayOpts = append(relayOpts, relay.WithACL(newACL(cfg.Allow)))
	}
	if cfg.Limits != nil {
		hostOpts, err := cfg.Limits.hostOptions()
		if err != nil {
			return err
		}
		opts = append(opts, hostOpts...)
		relayOpts = append(relayOpts, relay.WithResources(cfg.Limits.Relay))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return err
	}
	// By itself, not by libp2p.EnableRelayService: that one waits until AutoNAT has found the host
	// to be public.
	r, err := relay.New(h, relayOpts...)
	if err != nil {
		h.Close()
		return err
	}
	s.host, s.relay, s.returned = h, r, watchReturned(h)
	return nil
}

// probe returns why an address cannot be listened at. By itself libp2p is content if one of several
// can. Its TCP transport also shares the port with any other process of this user that does so, and
// peers would meet one relay or the other.
func probe(addrs []ma.Multiaddr) error {
	for _, a := range addrs {
		at, err := manet.ToNetAddr(a)
		if _, isTCP := at.(*net.TCPAddr); err != nil || !isTCP {
			continue // libp2p says what is wrong with it
		}
		l, err := manet.Listen(a)
		if failed := (*net.OpError)(nil); errors.As(err, &failed) {
			return fmt.Errorf("listen on %s: %w", a, failed.Err)
		} else if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// Info returns the relay's peer ID and addresses.
func (s *Server) Info() peer.AddrInfo { return peer.AddrInfo{ID: s.host.ID(), Addrs: s.host.Addrs()} }

// STUNAddr returns where the STUN server listens, or nil if there is none.
func (s *Server) STUNAddr() *net.TCPAddr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr().(*net.TCPAddr)
}

// Status describes in a line what the server does, and has done.
func (s *Server) Status() string {
	text := fmt.Sprintf("%d connections, %s", len(s.host.Network().Conns()), s.tally)
	if s.listener != nil {
		text += "; STUN: " + stunserver.Status(s.stun.Stats())
	}
	return text
}

// Failed delivers the error that the server cannot go on after.
func (s *Server) Failed() <-chan error { return s.failed }

// Shutdown ends the server. STUN requests that have arrived are answered before, unless ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.returned.close(s.host)
	return errors.Join(s.stun.Shutdown(ctx), s.relay.Close(), s.host.Close())
}
