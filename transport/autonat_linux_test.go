package transport

import (
	"context"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	ma "github.com/multiformats/go-multiaddr"
)

func init() {
	commands["dial back"] = (*labHost).dialBack
	commands["reachability"] = (*labHost).reachability
}

// dialBack asks a peer's AutoNAT service to dial the host.
func (h *labHost) dialBack(ctx context.Context, cmd command) any {
	return failed(autonat.NewAutoNATClient(h, h.Addrs, nil).DialBack(ctx, cmd.Peer))
}

// A reachability is what AutoNAT v2 has found out of a host's addresses.
type reachability struct{ Reachable, Unreachable []string }

// reachability waits until AutoNAT v2 has found something out.
func (h *labHost) reachability(ctx context.Context, _ command) any {
	sub, err := h.EventBus().Subscribe(new(event.EvtHostReachableAddrsChanged))
	if err != nil {
		return reachability{}
	}
	defer sub.Close()
	now := h.Host.(interface {
		ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
	})
	for {
		reachable, unreachable, _ := now.ConfirmedAddrs()
		if len(reachable)+len(unreachable) > 0 {
			return reachability{textsOf(reachable), textsOf(unreachable)}
		}
		select {
		case <-sub.Out():
		case <-ctx.Done():
			return reachability{}
		}
	}
}

func textsOf(as []ma.Multiaddr) (texts []string) {
	for _, a := range as {
		texts = append(texts, a.String())
	}
	return texts
}

// TestAutoNAT: hosts with simopen and both of go-libp2p's AutoNATs, each of which makes a host
// or swarm of its own to dial with. They serve each other, behind NATs or not, and find out
// whom the world can reach.
func TestAutoNAT(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	both := []string{"NAT service", "AutoNAT v2", "believes two"}
	at := func(ip string) string { return "/ip4/" + ip + "/tcp/4001" }
	public := func(name string) (*labPeer, string) {
		host := addHost(t, l.site(t, name, "public"), name)
		addr := at(host.Addr().String())
		return l.startPeer(t, host, peerConfig{Listen: []string{addr}, Options: append(both, "public")}), addr
	}
	private := func(name, host string) (*labPeer, string) {
		// The NAT keeps ports: there the others see the host, and would reach it if they could.
		site := l.site(t, name, "eim-apdf-rst")
		addr := at(site.External().String())
		return l.startPeer(t, addHost(t, site, host), peerConfig{Listen: listenTCP, Options: both}), addr
	}
	carol, carolAddr := public("carol")
	dave, daveAddr := public("dave")
	alice, aliceAddr := private("home", "alice")
	bob, bobAddr := private("office", "bob")
	ready(t, alice, bob, carol, dave)

	for _, way := range []struct {
		from, to *labPeer
		addr     string
	}{{alice, carol, carolAddr}, {alice, dave, daveAddr}, {bob, carol, carolAddr}, {bob, dave, daveAddr}, {dave, carol, carolAddr}} {
		if o := way.from.connect(t, peer.AddrInfo{ID: way.to.id, Addrs: multiaddrs([]string{way.addr})}); o.Err != "" {
			t.Fatal(o.Err)
		}
	}
	alice.join(t)
	bob.join(t)
	if d, r := punch(t, alice, bob); !d.Direct {
		t.Errorf("the dialler has %v\nthe listener has %v", d, r)
		logSteps(t, alice, bob)
	}
	wantOurs(t, alice, bob)

	// What cannot be dialled is reported only after 15 s.
	for p, of := range map[*labPeer]*labPeer{carol: dave, dave: carol} {
		var o outcome
		if p.do(t, &o, command{Do: "dial back", Peer: of.id}); o.Err != "" {
			t.Errorf("AutoNAT of %s tells %s: %s", of.host.Name(), p.host.Name(), o.Err)
		}
	}
	for _, tc := range []struct {
		p    *labPeer
		want reachability
	}{
		{carol, reachability{Reachable: []string{carolAddr}}}, {dave, reachability{Reachable: []string{daveAddr}}},
		{alice, reachability{Unreachable: []string{aliceAddr}}}, {bob, reachability{Unreachable: []string{bobAddr}}},
	} {
		var got reachability
		if tc.p.do(t, &got, command{Do: "reachability"}); !slices.Equal(got.Reachable, tc.want.Reachable) || !slices.Equal(got.Unreachable, tc.want.Unreachable) {
			t.Errorf("AutoNAT v2 of %s has %v, want %v", tc.p.host.Name(), got, tc.want)
		}
	}
}
