package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"go.uber.org/fx"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// Enable adds simopen to a host. It replaces nothing: the host's transports,
// also the default ones, stay.
func Enable(opts ...Option) libp2p.Option {
	return func(c *libp2p.Config) error {
		cfg, err := newConfig(opts)
		if err != nil {
			return err
		}
		return c.Apply(libp2p.WithFxOption(fx.Invoke(func(
			lc fx.Lifecycle,
			h host.Host,
			upgrader tpt.Upgrader,
			rcmgr network.ResourceManager,
			gater connmgr.ConnectionGater,
		) error {
			t := newTransport(upgrader, rcmgr, gater, cfg)
			// On stop, before the swarm begins to close connections: what is
			// under way ends for the right reason.
			lc.Append(fx.StopHook(func(context.Context) error { return t.Close() }))
			return Attach(h, t)
		})))
	}
}

// Attach puts the transport to use in a host: it adds it to the host's network
// unless [libp2p.Transport] did, listens, answers signalling, and upgrades
// relayed connections from then on. A transport serves one host. Close undoes
// it; closing the host does so, too.
func Attach(h host.Host, t *Transport) error {
	n, ok := h.Network().(tpt.TransportNetwork)
	if !ok {
		return fmt.Errorf("simopen: %T takes no transports", h.Network())
	}
	t.mu.Lock()
	attached := t.host != nil
	if !attached {
		t.host = h
	}
	t.mu.Unlock()
	if attached {
		return errors.New("simopen: transport is attached to a host already")
	}
	if find(h) != t {
		if err := n.AddTransport(t); err != nil {
			return fmt.Errorf("simopen: %w", err)
		}
	}
	if err := n.Listen(simopenAddr); err != nil {
		return fmt.Errorf("simopen: %w", err)
	}
	w, err := newWatcher(t, h)
	if err != nil {
		return err
	}
	h.SetStreamHandler(holepunch.Protocol, t.handle)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detach = func() {
		h.RemoveStreamHandler(holepunch.Protocol)
		w.stop()
	}
	return nil
}
