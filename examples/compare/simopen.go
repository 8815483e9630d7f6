package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// simopen begins at the dialler, and reports the outcome to both sides.
type simopen struct{ servers []string }

func (s *simopen) option() libp2p.Option {
	return transport.Enable(transport.WithSTUNServers(s.servers...))
}

// ready waits until the transport knows its NAT, which it has found out a few seconds after it came
// to the relay. Its port is warm long before.
func (s *simopen) ready(ctx context.Context, h host.Host) error {
	sub, err := h.EventBus().Subscribe(new(transport.EvtNATLearnt))
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		select {
		case e := <-sub.Out():
			if err = e.(transport.EvtNATLearnt).Err; err == nil {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("simopen: know the NAT: %w", errors.Join(context.Cause(ctx), err))
		}
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
