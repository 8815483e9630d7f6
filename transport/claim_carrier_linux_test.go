package transport

import (
	"context"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["claimer"] = claimerRole }

// A claimerConfig is of a peer that offers another peer's addresses as its own, until it is ended.
type claimerConfig struct {
	Relay   peer.AddrInfo
	Victim  peer.ID
	Targets []string // address and port
}

// claims is how many attempts a claimer has under way.
const claims = 3

// claimerRole makes the claims and emits the answers to them. The attempts remain open until the
// end.
func claimerRole(c *labtest.Child) error {
	var cfg claimerConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	var answers []string
	for range claims {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			return err
		}
		defer h.Close()
		circuit := cfg.Relay.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + cfg.Relay.ID.String() + "/p2p-circuit"))
		if err := h.Connect(context.Background(), peer.AddrInfo{ID: cfg.Victim, Addrs: []ma.Multiaddr{circuit}}); err != nil {
			return err
		}
		_, answer, err := offerTargets(h, cfg.Victim, cfg.Targets)
		if err != nil {
			return err
		}
		answers = append(answers, answer.Status.String())
	}
	if err := c.Emit(answers); err != nil {
		return err
	}
	return c.UntilEnd()
}

// testCarrierAddressClaim: one of two peers behind a carrier's NAT has offered the other peer's
// addresses as its own, and its attempts are under way while the other peer connects.
func testCarrierAddressClaim(t *testing.T) {
	l := newHostLab(t, relayConfig{})
	for name, cfg := range map[string]peerConfig{
		"STUN server":  {},
		"relays alone": {STUN: []string{}},
	} {
		carrier := l.site(t, name+", carrier", "eim-apdf")
		h := l.startPeer(t, addHost(t, l.site(t, name+", home", "eim-apdf-rst"), "alice"), cfg)
		v := l.startPeer(t, addHost(t, carrier, "bob"), cfg)
		mallory := addHost(t, carrier, "mallory")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready(t, h, v)
			h.reserve(t)
			v.reserve(t)
			claim := claimerConfig{Relay: l.relay, Victim: h.id}
			for _, p := range v.ports(t) { // which the carrier preserves
				claim.Targets = append(claim.Targets, carrier.External().String()+":"+p)
			}
			claimer := labtest.Start(t, mallory, "claimer", claim)
			var answers []string
			if claimer.Next(t, &answers); slices.ContainsFunc(answers, func(a string) bool { return a != "OK" }) {
				t.Fatalf("alice answers %s", answers)
			}
			for _, p := range [][2]*labPeer{{h, v}, {v, h}} {
				o := p[0].dial(t, p[1])
				t.Logf("%s has %v", p[0].host.Name(), o)
				if !o.Direct {
					t.Error("want a direct connection")
					logSteps(t, h, v)
				} else {
					p[0].ping(t, p[1].id, "direct")
				}
				wantUsualTime(t, o)
				h.forget(t, v)
				v.forget(t, h)
			}
			if err := claimer.Wait(t); err != nil {
				t.Error(err)
			}
		})
	}
}
