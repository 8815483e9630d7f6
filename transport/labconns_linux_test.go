package transport

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	dcutr "github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

func init() {
	commands["conns"] = (*labHost).conns
	commands["addrs"] = (*labHost).addrs
	commands["lose"] = (*labHost).lose
	commands["dcutr"] = (*labHost).dcutrReady
}

// peerConns is what a peer has to do with another when all hole punching is over, ours and
// go-libp2p's.
type peerConns struct {
	Err      string
	Direct   []labConn
	Relayed  []labConn
	Made     int    // direct connections so far
	PingOver string // remote address of the connection that a stream goes over without further ado
	Leaks    []string
	DCUtR    []string // what it has reported
}

type labConn struct {
	Remote, Direction, Security string
	Port                        string // local
}

// countDirect counts the host's direct connections from now on.
func (h *labHost) countDirect() {
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if isRelayed(c) {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.made[c.RemotePeer()]++
	}})
}

// Trace takes what DCUtR tells.
func (h *labHost) Trace(e *dcutr.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dcutr = append(h.dcutr, fmt.Sprintf("%s %+v", e.Type, e.Evt))
}

// conns waits for the end of all hole punching, and reports the connections to a peer.
func (h *labHost) conns(ctx context.Context, cmd command) any {
	var got peerConns
	if err := h.settle(ctx, cmd.Peer); err != nil {
		got.Err = err.Error()
		return got
	}
	for _, c := range h.Network().ConnsToPeer(cmd.Peer) {
		if c.IsClosed() {
			continue
		}
		port, _ := c.LocalMultiaddr().ValueForProtocol(ma.P_TCP)
		lc := labConn{
			Remote:    c.RemoteMultiaddr().String(),
			Direction: c.Stat().Direction.String(),
			Security:  string(c.ConnState().Security),
			Port:      port,
		}
		if isRelayed(c) {
			got.Relayed = append(got.Relayed, lc)
		} else {
			got.Direct = append(got.Direct, lc)
		}
	}
	h.mu.Lock()
	got.Made = h.made[cmd.Peer]
	got.DCUtR = h.dcutr
	h.mu.Unlock()
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, "test"), cmd.Peer, ping.ID)
	if err != nil {
		got.Err = err.Error()
		return got
	}
	defer s.Reset()
	got.PingOver = s.Conn().RemoteMultiaddr().String()
	got.Leaks = h.leaks(cmd.Peer)
	return got
}

// settle waits until identify is through with the relayed connections to p, and then for
// attempts with p to end, and for those of DCUtR, which begin with that.
func (h *labHost) settle(ctx context.Context, p peer.ID) error {
	ids := h.Host.(interface{ IDService() identify.IDService }).IDService()
	for _, c := range h.Network().ConnsToPeer(p) {
		select {
		case <-ids.IdentifyWait(c):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for dcutrWorks() { // there is no notification when it has nothing to do
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return h.awaitFinished(ctx, p)
}

var dcutrFunc = regexp.MustCompile(`go-libp2p/p2p/protocol/holepunch\.\(\*(holePuncher|netNotifiee|Service)\)\.(directConnect|DirectConnect|Connected|handleNewStream)`)

func dcutrWorks() bool {
	stacks := make([]byte, 1<<20)
	return dcutrFunc.Match(stacks[:runtime.Stack(stacks, true)])
}

// dcutrReady waits until DCUtR takes part, as it does when the host knows a public address.
func (h *labHost) dcutrReady(ctx context.Context, _ command) any {
	for !slices.Contains(h.Mux().Protocols(), dcutr.Protocol) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return failed(ctx.Err())
		}
	}
	return failed(nil)
}

// leaks are the simopen addresses that the host advertises, or has of p.
func (h *labHost) leaks(p peer.ID) (found []string) {
	addrs := slices.Concat(h.Addrs(), h.Peerstore().Addrs(h.ID()), h.Peerstore().Addrs(p))
	if all, ok := h.Host.(interface{ AllAddrs() []ma.Multiaddr }); ok {
		addrs = append(addrs, all.AllAddrs()...)
	}
	cab, _ := peerstore.GetCertifiedAddrBook(h.Peerstore())
	for _, id := range []peer.ID{h.ID(), p} {
		if e := cab.GetPeerRecord(id); e != nil {
			if r, err := e.Record(); err == nil {
				addrs = append(addrs, r.(*peer.PeerRecord).Addrs...)
			}
		}
	}
	for _, a := range addrs {
		if strings.Contains(a.String(), "simopen") {
			found = append(found, a.String())
		}
	}
	return found
}

// addrs waits until the host has an address to advertise, through a relay if cmd has not
// Direct, and returns all of them.
func (h *labHost) addrs(ctx context.Context, cmd command) any {
	for {
		var texts []string
		fit := false
		for _, a := range h.Addrs() {
			texts = append(texts, a.String())
			fit = fit || direct(a) == cmd.Direct
		}
		if fit || ctx.Err() != nil {
			return texts
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// lose waits until the host has no relayed address to advertise.
func (h *labHost) lose(ctx context.Context, _ command) any {
	for slices.ContainsFunc(h.Addrs(), func(a ma.Multiaddr) bool { return !direct(a) }) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return failed(ctx.Err())
		}
	}
	return failed(nil)
}

// conns is what the peer has to do with another one when all is over.
func (p *labPeer) conns(t testing.TB, other *labPeer) (c peerConns) {
	t.Helper()
	p.do(t, &c, command{Do: "conns", Peer: other.id})
	if c.Err != "" {
		t.Errorf("%s, of %s: %s", p.host.Name(), other.host.Name(), c.Err)
	}
	return c
}

// addrs is what the peer advertises, when it has an address through a relay or, with
// direct, another.
func (p *labPeer) addrs(t testing.TB, direct bool) (addrs []string) {
	t.Helper()
	p.do(t, &addrs, command{Do: "addrs", Direct: direct})
	return addrs
}
