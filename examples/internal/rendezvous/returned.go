package rendezvous

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
)

// returnTimeout is how long an earlier connection of a peer that has come back may take to answer:
// five round trips to the other side of the world, and the repetition of a lost packet.
const returnTimeout = 2 * time.Second

// returned closes the dead connections of peers that have come back, as after their address has
// changed, or their NAT was restarted. By itself libp2p notices after 40 s, and meanwhile others
// that ask the relay for the peer are sent to the connection that has had the most streams.
type returned struct {
	ctx     context.Context
	cancel  context.CancelFunc
	looking sync.WaitGroup
	notify  *network.NotifyBundle

	mu    sync.Mutex
	peers map[peer.ID]struct{} // whose connections are being looked at
}

// watchReturned looks at the peers of a host until close is called.
func watchReturned(h host.Host) *returned {
	r := &returned{peers: make(map[peer.ID]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.notify = &network.NotifyBundle{ConnectedF: func(n network.Network, c network.Conn) {
		if len(n.ConnsToPeer(c.RemotePeer())) > 1 {
			r.look(n, c)
		}
	}}
	h.Network().Notify(r.notify)
	return r
}

// look looks at the earlier connections of a peer, once at a time for each peer.
func (r *returned) look(n network.Network, latest network.Conn) {
	p := latest.RemotePeer()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, under := r.peers[p]; under || r.ctx.Err() != nil {
		return
	}
	r.peers[p] = struct{}{}
	r.looking.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, returnTimeout)
		defer cancel()
		var asking sync.WaitGroup
		for _, c := range n.ConnsToPeer(p) {
			if c == latest {
				continue
			}
			asking.Go(func() {
				if !conns.Alive(ctx, c) && r.ctx.Err() == nil {
					_ = c.Close() // it is dead anyway
				}
			})
		}
		asking.Wait()
		r.mu.Lock()
		delete(r.peers, p)
		r.mu.Unlock()
	})
}

func (r *returned) close(h host.Host) {
	h.Network().StopNotify(r.notify)
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.looking.Wait()
}
