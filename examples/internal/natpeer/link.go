package natpeer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const (
	// reachTimeout bounds one attempt to reach the relay: six round trips over a satellite. If the
	// network drops everything, the SYNs of an attempt are ever further apart.
	reachTimeout = 10 * time.Second

	// renewBefore is how long before its end a reservation is renewed. It usually lasts an hour, so
	// there is time enough if the relay is busy or rebooting.
	renewBefore = 5 * time.Minute

	// pingEvery is how often the relay is pinged, and pingTimeout how long its answer may take. The
	// muxer's own pings notice after 40 s that the host's NAT was restarted, or that the host has
	// slept; until then no peer could reach it. It costs 40 bytes a second.
	pingEvery   = 5 * time.Second
	pingTimeout = 5 * time.Second

	// A relay that is gone is tried again after firstRetry, and twice as long after each failure up
	// to maxRetry: that long the peers are unreachable when it is back.
	firstRetry = time.Second
	maxRetry   = 5 * time.Second
)

// A Link keeps a host connected to its relay.
type Link struct {
	host    host.Host
	relay   peer.AddrInfo
	reserve bool
	ended   chan struct{} // has a value if a connection to the relay has ended

	reached time.Time // when Reach last succeeded
	renewAt time.Time // of the reservation
}

// errHungUp is the failure of a relay that ends a new connection, as one without room for it does.
var errHungUp = errors.New("the relay has hung up at once")

// NewLink makes a Link. With reserve, the host has a reservation at the relay, by which others
// reach it.
func NewLink(h host.Host, relay peer.AddrInfo, reserve bool) *Link {
	l := &Link{host: h, relay: relay, reserve: reserve, ended: make(chan struct{}, 1)}
	h.ConnManager().Protect(relay.ID, "relay")
	h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == relay.ID {
			select {
			case l.ended <- struct{}{}:
			default:
			}
		}
	}})
	return l
}

// Reach connects to the relay, and makes or renews the reservation. When it returns, the relay has
// identified itself, and the transport has begun to warm its ports.
func (l *Link) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	clearBackoff(l.host, l.relay.ID)
	if err := l.host.Connect(ctx, l.relay); err != nil {
		return fmt.Errorf("cannot reach the relay at %s: %w", l.relay.Addrs[0], Cause(err))
	}
	if l.reserve {
		r, err := client.Reserve(ctx, l.host, l.relay)
		if err != nil {
			return fmt.Errorf("the relay refuses a reservation: %w", err)
		}
		l.renewAt = time.Now().Add(max(time.Until(r.Expiration)-renewBefore, pingEvery))
	}
	l.reached = time.Now()
	return nil
}

// Keep keeps the connection and the reservation until ctx ends, after a first [Link.Reach] that
// ended with err. It calls report with each failure, and with nil when the relay is back.
func (l *Link) Keep(ctx context.Context, err error, report func(error)) {
	up, retry := err == nil, firstRetry
	for {
		wait, ended := pingEvery, l.ended
		if !up {
			wait = retry + rand.N(retry/4) // a relay's peers lose it at one time
			ended = nil                    // a connection that the relay ended does not shorten the wait
			retry = min(2*retry, maxRetry)
		}
		select {
		case <-time.After(wait):
		case <-ended:
			l.renewAt = time.Time{} // even if somebody has connected since
			if time.Since(l.reached) < firstRetry && !l.connected() {
				up = false
				report(errHungUp)
				continue
			}
		case <-ctx.Done():
			return
		}
		err := l.hold(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil || !up:
			report(err)
		default: // the relay has stayed
			retry = firstRetry
		}
		up = err == nil
	}
}

// hold makes sure that the relay is there.
func (l *Link) hold(ctx context.Context) error {
	select {
	case <-l.ended: // during the wait
		l.renewAt = time.Time{}
	default:
	}
	fresh := !l.reserve || time.Now().Before(l.renewAt)
	if l.connected() && l.alive(ctx) && fresh {
		return nil
	}
	return l.Reach(ctx)
}

func (l *Link) connected() bool {
	return l.host.Network().Connectedness(l.relay.ID) == network.Connected
}

// alive reports whether the relay answers, even with an error. If it does not, the connection is
// closed.
func (l *Link) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	<-ping.Ping(ctx, l.host, l.relay.ID)
	if ctx.Err() == nil {
		return true
	}
	_ = l.host.Network().ClosePeer(l.relay.ID) // it is dead anyway
	return false
}
