package transport

import (
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

// Enable adds simopen to a host. It replaces nothing: the host's transports, also the default ones,
// stay. [libp2p.New] fails if an option is wrong, or if a host is given it twice.
func Enable(opts ...Option) libp2p.Option {
	return func(c *libp2p.Config) error {
		cfg, err := newConfig(opts)
		if err != nil {
			return err
		}
		for _, o := range c.UserFxOptions {
			if _, ok := o.(enabled); ok {
				return errors.New("simopen: enabled twice in one host")
			}
		}
		d := &swarmDialer{}
		// Invocations of a module come before the others. The swarm is made by one of these, and by then
		// all options were applied.
		configure := fx.Module(serviceName, fx.Invoke(func() { d.configure(c) }))
		return c.Apply(libp2p.WithFxOption(configure, enabled{fx.Invoke(func(
			lc fx.Lifecycle,
			h host.Host,
			parts hostParts,
			rcmgr network.ResourceManager,
			gater connmgr.ConnectionGater,
		) error {
			if cfg.registerer == nil && !c.DisableMetrics {
				cfg.registerer = c.PrometheusRegisterer
			}
			t, err := newTransport(parts, rcmgr, gater, d, cfg)
			if err != nil {
				return err
			}
			// On stop, before the swarm begins to close connections: what is under way ends for the right
			// reason.
			lc.Append(fx.StartStopHook(
				func() error { return Attach(h, t) },
				func() error { return t.Close() },
			))
			return nil
		})}))
	}
}

// enabled marks the option of Enable among a host's.
type enabled struct{ fx.Option }

// Attach puts the transport to use in a host: it adds it to the host's network unless
// [libp2p.Transport] did, listens, answers signalling, and upgrades relayed connections from then
// on. A transport serves one host, and a host has one. Close undoes it, and so does closing the
// host.
//
// It fails if the host's network takes no transports, as libp2p's swarm does; if the transport is
// closed ([ErrClosed]) or has a host; and with [errors.ErrUnsupported] where the system cannot
// share a port.
func Attach(h host.Host, t *Transport) error {
	if err := t.attach(h); err != nil {
		return fmt.Errorf("simopen: attach: %w", err)
	}
	return nil
}

func (t *Transport) attach(h host.Host) (err error) {
	n, ok := h.Network().(tpt.TransportNetwork)
	if !ok {
		return fmt.Errorf("%T takes no transports", h.Network())
	}
	emitters, err := newEmitters(h)
	if err != nil {
		emitters.Close()
		return err
	}
	t.mu.Lock()
	switch {
	case t.closed:
		err = ErrClosed
	case t.host != nil:
		err = errors.New("the transport has a host already")
	default:
		t.host, t.emitters = h, emitters
	}
	t.mu.Unlock()
	if err != nil {
		emitters.Close()
		return err
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if find(h) != t {
		if err := n.AddTransport(t); err != nil {
			return err
		}
	}
	w, err := newUpgradeDriver(t, h)
	if err != nil {
		return err
	}
	t.driver = w
	h.SetStreamHandler(holepunch.Protocol, t.handle)
	h.SetStreamHandler(echoID, t.serveEcho)
	detach := func() {
		h.RemoveStreamHandler(holepunch.Protocol)
		h.RemoveStreamHandler(echoID)
		w.stop()
	}
	t.mu.Lock()
	closed := t.closed
	t.detach = detach
	t.mu.Unlock()
	if closed { // meanwhile, by a caller that could not detach yet
		detach()
		return ErrClosed
	}
	return n.Listen(simopenAddr)
}
