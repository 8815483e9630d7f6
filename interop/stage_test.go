// Package interop has tests of simopen with other people's software: programs of libp2p's other
// implementations in folders of their own, and here libraries that run above a host. It is a module
// of its own, so that a module that requires simopen requires none of these.
package interop

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// testTimeout ends a test that waits for what does not come. It is far more than any test needs on
// a slow machine.
const testTimeout = time.Minute

// grace is how long a relayed connection stays beside the direct one.
const grace = 100 * time.Millisecond

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition of which there is no event.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", testTimeout, what)
		}
	}
}

func newHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append([]libp2p.Option{libp2p.DisableMetrics()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// A stage is two peers that can only reach each other through a relay.
type stage struct {
	relay host.Host
	peers [2]host.Host
}

// newStage returns a stage whose relay has limits of time and data as the option says. The first
// peer has the further options.
func newStage(t testing.TB, limits relay.Option, further ...transport.Option) *stage {
	t.Helper()
	s := &stage{relay: newHost(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))}
	r, err := relay.New(s.relay, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	opts := []transport.Option{transport.WithSTUNServers(stuntest.New(t)), transport.WithOnRequestOnly(), transport.WithRelayGrace(grace)}
	for i, opts := range [][]transport.Option{append(further, opts...), opts} {
		s.peers[i] = newHost(t, libp2p.NoListenAddrs, libp2p.EnableRelay(), transport.Enable(opts...))
	}
	return s
}

// connect connects the first peer to the second through the relay.
func (s *stage) connect(t testing.TB) {
	t.Helper()
	ctx := testContext(t)
	at := peer.AddrInfo{ID: s.relay.ID(), Addrs: s.relay.Addrs()}
	for _, h := range s.peers {
		if err := h.Connect(ctx, at); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Reserve(ctx, h, at); err != nil {
			t.Fatal(err)
		}
	}
	other := peer.AddrInfo{ID: s.peers[1].ID()}
	for _, a := range s.relay.Addrs() {
		other.Addrs = append(other.Addrs, a.Encapsulate(ma.StringCast("/p2p/"+s.relay.ID().String()+"/p2p-circuit")))
	}
	if err := s.peers[0].Connect(ctx, other); err != nil {
		t.Fatal(err)
	}
}

// upgrade gets the two a direct connection.
func (s *stage) upgrade(t testing.TB) {
	t.Helper()
	for i, h := range s.peers {
		if _, err := transport.DirectConnect(testContext(t), h, s.peers[1-i].ID()); err != nil {
			t.Fatal(err)
		}
	}
}

// streams returns how many streams of a protocol there are between the two, by the peers' own
// counts, on relayed connections and on direct ones.
func (s *stage) streams(protocol string) (relayed, direct int) {
	for i, h := range s.peers {
		for _, c := range h.Network().ConnsToPeer(s.peers[1-i].ID()) {
			n := 0
			for _, st := range c.GetStreams() {
				if strings.HasPrefix(string(st.Protocol()), protocol) {
					n++
				}
			}
			if isRelayed(c) {
				relayed += n
			} else {
				direct += n
			}
		}
	}
	return relayed, direct
}

// relayedConns returns how many relayed connections the two have with each other.
func (s *stage) relayedConns() (n int) {
	for i, h := range s.peers {
		for _, c := range h.Network().ConnsToPeer(s.peers[1-i].ID()) {
			if isRelayed(c) {
				n++
			}
		}
	}
	return n
}

func isRelayed(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// wantHidden checks that no address of simopen's was disclosed: neither in what hosts advertise,
// nor in the signed peer records that identify has brought, nor in what a host would send to others
// about a peer.
func (s *stage) wantHidden(t testing.TB) {
	t.Helper()
	hosts := []host.Host{s.relay, s.peers[0], s.peers[1]}
	for _, h := range hosts {
		wantNone(t, "addresses of a host's own", h.Addrs())
		records, ok := peerstore.GetCertifiedAddrBook(h.Peerstore())
		if !ok {
			t.Fatalf("%T has no signed peer records", h.Peerstore())
		}
		for _, other := range hosts {
			wantNone(t, "peerstore", h.Peerstore().Addrs(other.ID()))
			envelope := records.GetPeerRecord(other.ID())
			if envelope == nil {
				continue
			}
			record, err := envelope.Record()
			if err != nil {
				t.Fatal(err)
			}
			wantNone(t, "signed peer record", record.(*peer.PeerRecord).Addrs)
		}
	}
}

func wantNone(t testing.TB, what string, addrs []ma.Multiaddr) {
	t.Helper()
	for _, a := range addrs {
		if strings.Contains(a.String(), "simopen") {
			t.Errorf("%s: %s", what, a)
		}
	}
}

// An application is what runs above the two hosts of a stage.
type application struct {
	protocol string // prefix of its long-lived streams' protocols

	// talk has each of the two say something to the other one, and returns when both have heard it.
	talk func()
}

// testOverRelays has an application run over relays of both kinds. start is called with the stage
// before the two are connected.
func testOverRelays(t *testing.T, start func(testing.TB, *stage) *application) {
	usual, large := relay.DefaultLimit(), &relay.RelayLimit{Duration: 24 * time.Hour, Data: 1 << 40}
	for name, tc := range map[string]struct {
		limits relay.Option
		opts   []transport.Option
		early  bool // streams open before there is a direct connection
		moves  bool // they move to it
	}{
		// Applications open no stream of theirs on a limited connection.
		"limited relay": {limits: relay.WithLimit(usual), moves: true},
		"large limits":  {limits: relay.WithLimit(large), moves: true},
		// On one without limits they do, as soon as it is there, and no stream is cut.
		"unlimited relay": {limits: relay.WithInfiniteLimits(), early: true, moves: false},
		// Unless one of the two wishes it so.
		"streams are reset": {
			limits: relay.WithInfiniteLimits(), opts: []transport.Option{transport.WithRelayStreamsReset()}, early: true, moves: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tc.limits, tc.opts...)
			app := start(t, s)
			s.connect(t)
			if tc.early {
				app.talk()
				if relayed, _ := s.streams(app.protocol); relayed == 0 {
					t.Fatalf("no stream of %s on the relayed connection", app.protocol)
				}
			}
			s.upgrade(t)
			if tc.moves {
				eventually(t, "the relayed connection is closed", func() bool { return s.relayedConns() == 0 })
			}
			app.talk()
			relayed, direct := s.streams(app.protocol)
			if (relayed == 0) != tc.moves || (direct > 0) != tc.moves {
				t.Errorf("%d streams are on the relayed connection and %d on the direct one", relayed, direct)
			}
			s.wantHidden(t)
			if tc.moves { // so that nothing is left but the direct connection
				s.relay.Close()
				app.talk()
			}
		})
	}
}
