package transport

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestTrimming: a connection manager closes what it can in the middle of an attempt, but not the
// relayed connection that carries the signalling. After the attempt it may close that one, too.
func TestTrimming(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, side := range []string{"responder", "initiator"} {
		for _, when := range []string{"before the ANSWER", "in the punch"} {
			t.Run(side+"/"+when, func(t *testing.T) {
				// It keeps one peer, and has no grace for new ones.
				manager, err := connmgr.NewConnManager(1, 2, connmgr.WithGracePeriod(0))
				if err != nil {
					t.Fatal(err)
				}
				var armed, trimmed atomic.Bool
				trim := func() {
					if armed.CompareAndSwap(true, false) { // later ones may come after the attempt
						manager.TrimOpenConns(context.Background())
						trimmed.Store(true)
					}
				}
				traced := WithTracer(func(e Event) {
					if e.Kind == Offered {
						trim()
					}
				})
				opts := map[string][]libp2p.Option{"responder": {Enable(servers)}, "initiator": {Enable(servers)}}
				if when == "in the punch" {
					opts[side] = []libp2p.Option{Enable(servers, traced)}
				} else {
					opts["responder"] = append(opts["responder"], libp2p.ConnectionGater(dialGater{hook: trim}))
				}
				opts[side] = append(opts[side], libp2p.ConnectionManager(manager))
				relay, a, b := newRelay(t), newPeer(t, opts["responder"]...), newPeer(t, opts["initiator"]...)
				reserve(t, relay, a)
				one, other := a, b
				if side == "initiator" {
					one, other = b, a
				}
				idle := newHost(t)
				if err := one.Connect(testContext(t), info(idle)); err != nil {
					t.Fatal(err)
				}
				armed.Store(true)
				relayed := dialRelayed(t, relay, a, b)
				if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
					t.Error(err)
				}
				// The initiator may have its connection while the responder's attempt is still in trim.
				eventually(t, "something was trimmed", func() bool {
					return trimmed.Load() && len(one.Network().ConnsToPeer(idle.ID())) == 0
				})
				if relayed.IsClosed() {
					t.Error("the relayed connection is closed")
				}
				find(one).Close() // which waits for the end of the attempt
				if manager.IsProtected(other.ID(), "") {
					t.Error("the peer is protected after the attempt")
				}
			})
		}
	}
}

// A dialGater is a gater that refuses nothing; it is asked about each candidate of an OFFER before
// it is answered.
type dialGater struct {
	gater
	hook func()
}

func (g dialGater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool {
	g.hook()
	return true
}
