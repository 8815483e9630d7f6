package pair

import (
	"context"

	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
)

// Listen keeps a reservation at the relay and serves the peers that come, until ctx ends. It fails
// only at the start: later, a relay that is gone is reported as an event and tried again.
func Listen(ctx context.Context, cfg natpeer.Config, report func(Event)) error {
	n, err := newNode(cfg, report, nil)
	if err != nil {
		return err
	}
	defer n.Close()
	n.SetStreamHandler(transferProtocol, n.receive)
	link := natpeer.NewLink(n, cfg.Relay, true)
	err = link.Reach(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // what its end broke is no news
	}
	if err != nil {
		return err
	}
	n.ready(ctx)
	link.Keep(ctx, nil, func(err error) {
		if err != nil {
			n.tell(Event{Kind: Disconnected, Err: natpeer.Explain(err)})
			return
		}
		n.ready(ctx)
	})
	return nil
}
