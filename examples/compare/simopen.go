package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/gologshim"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// simopen begins at the dialler, and tells both sides how it went.
type simopen struct {
	servers []string
	nat     *natLog
}

func newSimopen(servers []string) *simopen {
	s := &simopen{servers: servers, nat: &natLog{learnt: make(chan struct{})}}
	gologshim.SetDefaultHandler(s.nat)
	return s
}

func (s *simopen) option() libp2p.Option {
	return transport.Enable(transport.WithSTUNServers(s.servers...))
}

// ready waits until the transport knows its NAT, which it has found out a few seconds after it
// came to the relay. Its port is warm long before.
func (s *simopen) ready(ctx context.Context, _ host.Host) error {
	select {
	case <-s.nat.learnt:
		return s.nat.failure
	case <-ctx.Done():
		return fmt.Errorf("simopen: know the NAT: %w", context.Cause(ctx))
	}
}

func (s *simopen) over() <-chan string { return nil }

func (s *simopen) connect(ctx context.Context, h host.Host, p peer.ID) error {
	_, err := transport.DirectConnect(ctx, h, p)
	if reason := holepunch.ReasonOf(err); reason != "" {
		return reason
	}
	if err != nil {
		return errors.New(console.OneLine(err))
	}
	return nil
}

// A natLog takes the logs, for only there the transport tells that it knows its NAT. When it does
// the log is off.
type natLog struct {
	once    sync.Once
	learnt  chan struct{} // closed then
	failure error
}

// What the transport logs, see transport/nat.go.
const (
	natKnown   = "NAT behaviour"
	natUnknown = "NAT behaviour was not found out"
)

func (l *natLog) Enabled(context.Context, slog.Level) bool {
	select {
	case <-l.learnt:
		return false
	default:
		return true
	}
}

func (l *natLog) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case natKnown:
		l.once.Do(func() { close(l.learnt) })
	case natUnknown:
		l.once.Do(func() {
			r.Attrs(func(a slog.Attr) bool {
				l.failure = fmt.Errorf("simopen: NAT behaviour was not found out: %v", a.Value)
				return false
			})
			close(l.learnt)
		})
	}
	return nil
}

func (l *natLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *natLog) WithGroup(string) slog.Handler      { return l }
