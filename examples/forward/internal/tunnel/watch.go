package tunnel

import (
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// Watch reports the direct connections to peers other than the relay, and their attempts that
// failed, until stop is called.
func Watch(h host.Host, relay peer.ID, tell func(Event)) (stop func(), err error) {
	sub, err := h.EventBus().Subscribe(new(transport.EvtPunchFinished), eventbus.Name("forward"))
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e := range sub.Out() {
			if e := e.(transport.EvtPunchFinished); e.Err != nil && e.Direction == network.DirInbound {
				tell(Event{Kind: NoDirect, Peer: e.Peer, Err: natpeer.Explain(e.Err)})
			}
		}
	}()
	notice := func(c network.Conn, kind Kind) {
		if c.RemotePeer() != relay && !conns.IsRelayed(c) {
			tell(Event{Kind: kind, Peer: c.RemotePeer(), Addr: c.RemoteMultiaddr().String()})
		}
	}
	notify := &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { notice(c, Direct) },
		DisconnectedF: func(_ network.Network, c network.Conn) { notice(c, Lost) },
	}
	h.Network().Notify(notify)
	return func() {
		h.Network().StopNotify(notify)
		sub.Close()
		<-ended
	}, nil
}
