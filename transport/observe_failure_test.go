package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// tellStrangers makes a relay report its address only to strangers, or do f with them. The hosts'
// own connections show no address, so that the hosts have to ask.
func tellStrangers(t testing.TB, relay host.Host, f func(*idpb.Identify, network.Stream), hosts ...host.Host) {
	t.Helper()
	key, err := crypto.MarshalPublicKey(relay.Peerstore().PubKey(relay.ID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		h.RemoveStreamHandler(identify.IDPush) // which would tell them nevertheless
	}
	relay.SetStreamHandler(identify.ID, func(s network.Stream) {
		defer s.Close()
		m := &idpb.Identify{PublicKey: key, Protocols: []string{proto.ProtoIDv2Hop, identify.ID}}
		known := slices.ContainsFunc(hosts, func(h host.Host) bool { return h.ID() == s.Conn().RemotePeer() })
		if !known {
			m.ObservedAddr = s.Conn().RemoteMultiaddr().Bytes()
		}
		if known || f == nil {
			pbio.NewDelimitedWriter(s).WriteMsg(m)
			return
		}
		f(m, s)
	})
}

// TestOutdatedIdentify: a peer speaks the protocol, and identify does not say so.
func TestOutdatedIdentify(t *testing.T) {
	t.Parallel()
	relay, a, b := newRelay(t), newPeer(t, Enable(WithOnRequestOnly())), newPeer(t, Enable(WithOnRequestOnly()))
	tellStrangers(t, relay, nil, a, b)
	key, err := crypto.MarshalPublicKey(a.Peerstore().PubKey(a.ID()))
	if err != nil {
		t.Fatal(err)
	}
	a.SetStreamHandler(identify.ID, func(s network.Stream) {
		defer s.Close()
		pbio.NewDelimitedWriter(s).WriteMsg(&idpb.Identify{PublicKey: key, Protocols: []string{identify.ID}})
	})
	connectRelayed(t, relay, a, b)
	if !find(b).agent.Asks() {
		t.Fatal("the relay would not be asked")
	}
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Error(err)
	}
}

// wantObserveError checks that no observer reported the address, and that the relay is named.
func wantObserveError(t *testing.T, err error, relay peer.ID) {
	t.Helper()
	if !errors.Is(err, ErrNoSTUNServer) || !errors.Is(err, holepunch.ErrNoAddress) {
		t.Fatalf("got %v, want ErrNoSTUNServer", err)
	}
	if !strings.Contains(err.Error(), relay.String()+" at ") {
		t.Errorf("got %v, which does not name the relay", err)
	}
}

// A relay that reports to the port something other than its address.
func TestLyingRelay(t *testing.T) {
	t.Parallel()
	told := func(addr string) func(*idpb.Identify, network.Stream) {
		return func(m *idpb.Identify, s network.Stream) {
			m.ObservedAddr = ma.StringCast(addr).Bytes()
			pbio.NewDelimitedWriter(s).WriteMsg(m)
		}
	}
	for name, tc := range map[string]struct {
		f    func(*idpb.Identify, network.Stream)
		want error // nil: any
	}{
		"other family": {told("/ip6/2a00::1/tcp/4001"), stun.ErrFamily},
		"unspecified":  {told("/ip4/0.0.0.0/tcp/4001"), errNoObserved},
		"multicast":    {told("/ip4/224.0.0.1/tcp/4001"), errNoObserved},
		"port 0":       {told("/ip4/127.0.0.1/tcp/0"), errNoObserved},
		"UDP":          {told("/ip4/127.0.0.1/udp/4001"), errNoObserved},
		"circuit":      {told("/p2p-circuit"), errNoObserved},
		"name":         {told("/dns4/localhost/tcp/4001"), errNoObserved},
		"absent": {func(m *idpb.Identify, s network.Stream) {
			m.ObservedAddr = nil
			pbio.NewDelimitedWriter(s).WriteMsg(m)
		}, errNoObserved},
		"absent for ever": {func(m *idpb.Identify, s network.Stream) {
			for pbio.NewDelimitedWriter(s).WriteMsg(&idpb.Identify{}) == nil {
			}
		}, errNoObserved},
		"no address": {func(m *idpb.Identify, s network.Stream) {
			m.ObservedAddr = []byte("nonsense")
			pbio.NewDelimitedWriter(s).WriteMsg(m)
		}, nil},
		"too long": {func(m *idpb.Identify, s network.Stream) {
			m.Protocols = append(m.Protocols, strings.Repeat("x", 1<<20))
			pbio.NewDelimitedWriter(s).WriteMsg(m)
		}, io.ErrShortBuffer},
		"hangs up": {func(_ *idpb.Identify, s network.Stream) { s.Conn().Close() }, nil},
		"resets":   {func(_ *idpb.Identify, s network.Stream) { s.Reset() }, nil},
		"silent":   {func(_ *idpb.Identify, s network.Stream) { io.Copy(io.Discard, s) }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := newRelay(t)
			a, b := newPeer(t, Enable(WithObservers())), newPeer(t, Enable())
			tellStrangers(t, relay, tc.f, a, b)
			relayed := connectRelayed(t, relay, a, b)
			_, err := DirectConnect(testContext(t), b, a.ID())
			wantObserveError(t, err, relay.ID())
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			wantUntouched(t, relayed)
		})
	}
}

// Another peer answers at the relay's address.
func TestImpostor(t *testing.T) {
	t.Parallel()
	impostor, a := newHost(t), newPeer(t)
	addr, _ := fromMultiaddr(impostor.Addrs()[0])
	o := observer{newByHand(t, a), a.ID(), addr}
	err := o.Observe(testContext(t), new(net.Dialer), func(netip.AddrPort, netip.AddrPort) {
		t.Error("the impostor is believed")
	})
	if err == nil || !strings.Contains(err.Error(), impostor.ID().String()) {
		t.Errorf("got %v, want a mismatch of peer IDs", err)
	}
}

// firstAlone lets only the first dial of every TCP address pass: of the relay's, the
// host's own.
type firstAlone struct {
	gater
	dials sync.Map
}

func (g *firstAlone) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool {
	_, tcp := fromMultiaddr(a)
	_, again := g.dials.LoadOrStore(a.String(), true)
	return !tcp || !again
}

// What gater and resource manager refuse is not asked, and they are the reason.
func TestObserverRefused(t *testing.T) {
	t.Parallel()
	t.Run("gater", func(t *testing.T) {
		relay := newRelay(t)
		a, b := newPeer(t, Enable()), newPeer(t, Enable(), libp2p.ConnectionGater(new(firstAlone)))
		tellStrangers(t, relay, nil, a, b)
		relayed := connectRelayed(t, relay, a, b)
		_, err := DirectConnect(testContext(t), b, a.ID())
		wantObserveError(t, err, relay.ID())
		if !errors.Is(err, errObserverGated) {
			t.Errorf("got %v, want that the gater refuses", err)
		}
		wantUntouched(t, relayed)
	})
	t.Run("resource manager", func(t *testing.T) {
		relay := newRelay(t)
		a, b := newPeer(t, Enable()), newLimited(t, 1, Enable())
		tellStrangers(t, relay, nil, a, b)
		relayed := connectRelayed(t, relay, a, b)
		_, err := DirectConnect(testContext(t), b, a.ID())
		wantObserveError(t, err, relay.ID())
		if !errors.Is(err, network.ErrResourceLimitExceeded) {
			t.Errorf("got %v, want ErrResourceLimitExceeded", err)
		}
		if got := peerStat(t, b, relay.ID()); got.NumConnsOutbound != 1 {
			t.Errorf("%+v is left", got)
		}
		wantUntouched(t, relayed)
	})
}
