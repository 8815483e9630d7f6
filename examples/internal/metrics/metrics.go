// Package metrics serves a program's metrics to Prometheus, and its health to a supervisor.
package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Flag is the flag that names the address.
const Flag = "metrics"

// Usage is the help of Flag.
const Usage = "serve /metrics for Prometheus, and /healthz, at `host:port` (default off)"

// NewRegistry returns a registry with the metrics that every program has: those of the process, of
// Go, and of the build.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
		collectors.NewBuildInfoCollector(),
	)
	return reg
}

// A Server serves /metrics and /healthz over HTTP. A nil Server serves nothing.
type Server struct {
	http   http.Server
	addr   net.Addr
	failed chan error
	ended  chan struct{}
}

// Start starts a Server at an address, host:port. Path /healthz answers 200 while health, which may
// be nil, returns nil, and else 503 with the error's text. Close must be called.
func Start(address string, reg prometheus.Gatherer, health func() error) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", Flag, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if health != nil {
			if err := health(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	})
	s := &Server{
		// A scrape comes from nearby, every 15 s or so, and takes milliseconds.
		http: http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
		},
		addr:   l.Addr(),
		failed: make(chan error, 1),
		ended:  make(chan struct{}),
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("-%s: %w", Flag, err)
		}
	}()
	return s, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() net.Addr { return s.addr }

// Failed delivers the error that the server cannot go on after.
func (s *Server) Failed() <-chan error {
	if s == nil {
		return nil
	}
	return s.failed
}

// Close ends the server. Scrapes under way are cut.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	err := s.http.Close()
	<-s.ended
	return err
}
