package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// What a peer in the lab does with others that need not have simopen.
func init() {
	commands["connect"] = (*labHost).connect
	commands["upgrade"] = (*labHost).upgrade
	commands["finished"] = (*labHost).finished
	commands["ping"] = (*labHost).ping
	commands["reflexive"] = (*labHost).reflexive
	commands["moved"] = (*labHost).moved
}

// connect connects to a peer at any address.
func (h *labHost) connect(ctx context.Context, cmd command) any {
	err := h.Connect(ctx, cmd.At)
	return h.outcome(cmd.At.ID, err)
}

// upgrade asks for a direct connection to a peer that there is a relayed one to.
func (h *labHost) upgrade(_ context.Context, cmd command) any {
	_, err := DirectConnect(context.Background(), h, cmd.Peer)
	return h.outcome(cmd.Peer, err)
}

// finished waits for the end of an attempt that comes by itself.
func (h *labHost) finished(ctx context.Context, cmd command) any {
	for {
		h.mu.Lock()
		changed := h.changed
		i := slices.IndexFunc(h.steps, func(s step) bool { return s.Peer == cmd.Peer && s.Kind == Finished })
		if i >= 0 {
			defer h.mu.Unlock()
			return outcome{Err: h.steps[i].Err, Reason: h.steps[i].Reason}
		}
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return failed(ctx.Err())
		}
	}
}

// ping pings a peer once over the direct connection, or over the relayed one.
func (h *labHost) ping(ctx context.Context, cmd command) any {
	find := relayedConn
	if cmd.Direct {
		find = directConn
	}
	c := find(h, cmd.Peer)
	if c == nil {
		return failed(errors.New("no such connection"))
	}
	return failed(pingOver(ctx, c))
}

func (p *labPeer) connect(t testing.TB, to peer.AddrInfo) (o outcome) {
	t.Helper()
	p.do(t, &o, command{Do: "connect", At: to})
	return o
}

func (p *labPeer) upgrade(t testing.TB, other peer.ID) (o outcome) {
	t.Helper()
	p.do(t, &o, command{Do: "upgrade", Peer: other})
	return o
}

// finished is how the first attempt with a peer ended.
func (p *labPeer) finished(t testing.TB, other peer.ID) (o outcome) {
	t.Helper()
	p.do(t, &o, command{Do: "finished", Peer: other})
	return o
}

// ping wants an answer over the "direct" or the "relayed" connection.
func (p *labPeer) ping(t testing.TB, other peer.ID, over string) {
	t.Helper()
	var o outcome
	if p.do(t, &o, command{Do: "ping", Peer: other, Direct: over == "direct"}); o.Err != "" {
		t.Errorf("%s cannot ping over the %s connection: %s", p.host.Name(), over, o.Err)
	}
}

// reflexive returns the reflexive addresses of the host's warm ports, once both are known. An OFFER
// does not wait for the second one's, and moved returns them as soon as they are others than those
// that it returned before.
func (h *labHost) reflexive(ctx context.Context, _ command) any {
	for {
		offer, err := ownOffer(ctx, find(h))
		if err != nil {
			return err.Error()
		}
		at := namedAt(offer, pb.Candidate_REFLEXIVE)
		if len(at) == defaultPorts {
			return fmt.Sprint(at)
		}
		select {
		case <-time.After(10 * time.Millisecond): // nothing signals the second answer
		case <-ctx.Done():
			return fmt.Sprintf("%v alone: %v", at, ctx.Err())
		}
	}
}

func (h *labHost) moved(ctx context.Context, cmd command) any {
	for before := h.at; h.at == before && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) { // there is no event
		h.at = h.reflexive(ctx, cmd).(string)
	}
	return h.at
}
