package transport

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["observer"] = observerRole
	roles["view"] = viewRole
}

// TestRelayObservesInLab: a relay, two hosts behind NATs, and no STUN server anywhere.
func TestRelayObservesInLab(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf", "eim-apdf-rst-rstkills"} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{NoSTUN: true})
			a, b := l.newPair(t, addHost(t, l.site(t, "home", nat), "alice"), addHost(t, l.site(t, "office", "eim-apdf-rst"), "bob"), peerConfig{})
			wantDirect(t, a, b)
		})
	}
}

type observerConfig struct {
	Addr netip.Addr
	Hop  bool   // says that it is a relay
	Lie  string // the address at which it claims to see strangers
}

// observerRole is a public host. It emits its address, and then a word for every stranger
// that it lies to.
func observerRole(c *labtest.Child) error {
	var cfg observerConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	h, err := libp2p.New(
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/4001", cfg.Addr)),
		libp2p.DisableMetrics(),
	)
	if err != nil {
		return err
	}
	defer h.Close()
	if cfg.Hop {
		h.SetStreamHandler(proto.ProtoIDv2Hop, func(s network.Stream) { s.Reset() })
	}
	if err := c.Emit(info(h)); err != nil {
		return err
	}
	if cfg.Lie != "" {
		key, err := crypto.MarshalPublicKey(h.Peerstore().PubKey(h.ID()))
		if err != nil {
			return err
		}
		var known atomic.Bool // the host itself, which asks before its throw-away identity
		h.SetStreamHandler(identify.ID, func(s network.Stream) {
			defer s.Close()
			m := &idpb.Identify{PublicKey: key, Protocols: []string{proto.ProtoIDv2Hop, identify.ID}, ObservedAddr: s.Conn().RemoteMultiaddr().Bytes()}
			if known.CompareAndSwap(false, true) {
				pbio.NewDelimitedWriter(s).WriteMsg(m)
				return
			}
			m.ObservedAddr = ma.StringCast(cfg.Lie).Bytes()
			pbio.NewDelimitedWriter(s).WriteMsg(m)
			c.Emit("lied")
		})
	}
	return c.UntilEnd()
}

type viewed struct {
	Addrs   []netip.AddrPort
	Mapping string
}

// viewRole is a host with simopen that connects to peers, and emits what its port knows of
// itself as soon as that includes the mapping, and again for every word.
func viewRole(c *labtest.Child) error {
	var peers []peer.AddrInfo
	if err := c.Config(&peers); err != nil {
		return err
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/0"), libp2p.EnableRelay(), libp2p.DisableMetrics(), Enable(WithWarmPorts(1)))
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout/2)
	defer cancel()
	for _, p := range peers {
		if err := h.Connect(ctx, p); err != nil {
			return err
		}
	}
	for {
		offer, err := ownOffer(ctx, find(h))
		if err != nil {
			return err
		}
		mapping := stun.Mapping(offer.GetBehaviour().GetMapping())
		if mapping == stun.MappingUnknown {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err := c.Emit(viewed{namedAt(offer, pb.Candidate_REFLEXIVE), mapping.String()}); err != nil {
			return err
		}
		var again bool
		switch err := c.Receive(&again); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// TestObserversTellMapping: the host's connections to two relays, or to a relay and another public
// peer, show whether the NAT gives each another port. Two relays outvote one that lies.
func TestObserversTellMapping(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		nat       string
		observers []observerConfig
		addrs     int
		mapping   string
	}{
		"EIM, two relays":               {"eim-apdf", []observerConfig{{Hop: true}, {Hop: true}}, 1, "EIM"},
		"APDM, two relays":              {"apdm-apdf-sequential", []observerConfig{{Hop: true}, {Hop: true}}, 1, "APDM"},
		"EIM at random, two relays":     {"eim-apdf-random", []observerConfig{{Hop: true}, {Hop: true}}, 1, "EIM"},
		"EIM, a relay and another peer": {"eim-apdf", []observerConfig{{}, {Hop: true}, {}}, 1, "EIM"},
		"EIM, a relay that lies":        {"eim-apdf", []observerConfig{{Hop: true, Lie: "/ip4/46.0.99.1/tcp/4001"}, {Hop: true}, {Hop: true}}, 1, "EIM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := labtest.New(t, natlab.Config{Seed: 1})
			l := &hostLab{Lab: lab}
			var peers []peer.AddrInfo
			var liar *labtest.Proc
			for i, cfg := range tc.observers {
				host := addHost(t, l.site(t, fmt.Sprintf("public%d", i), "public"), fmt.Sprintf("observer%d", i))
				cfg.Addr = host.Addr()
				p := labtest.Start(t, host, "observer", cfg)
				var ai peer.AddrInfo
				p.Next(t, &ai)
				peers = append(peers, ai)
				if cfg.Lie != "" {
					liar = p
				}
			}
			home := l.site(t, "home", tc.nat)
			p := labtest.Start(t, addHost(t, home, "alice"), "view", peers)
			var v viewed
			p.Next(t, &v)
			if liar != nil {
				liar.Next(t, new(string))
				p.Send(t, true)
				p.Next(t, &v)
			}
			wrong := func(a netip.AddrPort) bool { return a.Addr() != home.External() }
			if len(v.Addrs) != tc.addrs || v.Mapping != tc.mapping || slices.ContainsFunc(v.Addrs, wrong) {
				t.Errorf("got %v, want %d addresses at %v and %s", v, tc.addrs, home.External(), tc.mapping)
			}
		})
	}
}
