package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestPlantedAddress: anybody may have named a peer's addresses, such as a DHT server. If /simopen
// is among them, alone or after another address, the other addresses are dialled all the same.
func TestPlantedAddress(t *testing.T) {
	t.Parallel()
	there := newHost(t)
	nowhere := ma.StringCast("/ip4/127.0.0.1/tcp/1")
	behind := nowhere.Encapsulate(simopenAddr)
	for name, planted := range map[string][]ma.Multiaddr{
		"alone":   {simopenAddr},
		"beside":  {nowhere, simopenAddr},
		"behind":  {nowhere, behind},
		"a lure":  {behind},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Enable())
			h.Peerstore().AddAddrs(there.ID(), append(there.Addrs(), planted...), time.Hour)
			if err := h.Connect(testContext(t), peer.AddrInfo{ID: there.ID()}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A silentResolver gets no answer.
type silentResolver struct{}

func (silentResolver) ResolveDNSAddr(ctx context.Context, _ peer.ID, _ ma.Multiaddr, _, _ int) ([]ma.Multiaddr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r silentResolver) ResolveDNSComponent(ctx context.Context, a ma.Multiaddr, limit int) ([]ma.Multiaddr, error) {
	return r.ResolveDNSAddr(ctx, "", a, 0, limit)
}

// TestSilentNameServer: a peer has names among its addresses, and no name server answers.
func TestSilentNameServer(t *testing.T) {
	t.Parallel()
	servers, own := WithSTUNServers(stuntest.New(t)), libp2p.MultiaddrResolver(silentResolver{})
	for name, opts := range map[string][]libp2p.Option{
		"before Enable": {own, Enable(servers)},
		"after Enable":  {Enable(servers), own},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, opts...)
			connectRelayed(t, relay, a, b)
			for _, addr := range []string{"/dns4/alice.example.org/tcp/4001", "/dnsaddr/alice.example.org"} {
				b.Peerstore().AddAddr(a.ID(), ma.StringCast(addr), time.Hour)
			}
			if c := directConn(b, a.ID()); c != nil {
				c.Close() // the upgrade was quicker than this test
			}
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// The peer has more addresses that do not answer than the resource manager allows connections to
// it.
func TestOtherAddressesDoNotMatter(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for name, opts := range map[string][]libp2p.Option{
		"default":       {Enable(servers)},
		"swarm options": {Enable(servers), libp2p.SwarmOpts(swarm.WithDialTimeout(time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, opts...)
			for range 12 {
				silent, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
				b.Peerstore().AddAddr(a.ID(), ma.StringCast("/ip4/127.0.0.1/tcp/"+itoa(uint16(silent.Addr().(*net.TCPAddr).Port))), time.Hour)
			}
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A host's own dial ranker is kept, whatever the order of the options.
func TestOwnDialRanker(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for name, order := range map[string]func(own, enable libp2p.Option) []libp2p.Option{
		"before Enable": func(own, enable libp2p.Option) []libp2p.Option { return []libp2p.Option{own, enable} },
		"after Enable":  func(own, enable libp2p.Option) []libp2p.Option { return []libp2p.Option{enable, own} },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Bool
			own := libp2p.SwarmOpts(swarm.WithDialRanker(func(addrs []ma.Multiaddr) []network.AddrDelay {
				asked.Store(true)
				return swarm.DefaultDialRanker(addrs)
			}))
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, order(own, Enable(servers))...)
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
			if !asked.Load() {
				t.Error("it was not asked")
			}
			if find(b).swarm.ranks.Load() {
				t.Error("ours is taken for the one that is asked")
			}
		})
	}
}

// The user's own dial of a peer with which a punch is under way goes to the peer's listener.
func TestUsersDialDuringAnAttempt(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a := newHost(t, libp2p.EnableRelay())
	b := newPeer(t, Enable(WithSTUNServers(stuntest.New(t)), WithOnRequestOnly()))
	offered := holdOffers(t, a)
	connectRelayed(t, relay, a, b)
	direct := make(chan error, 1)
	go func() {
		_, err := DirectConnect(testContext(t), b, a.ID())
		direct <- err
	}()
	<-offered
	for _, addr := range b.Peerstore().Addrs(a.ID()) {
		if isSimopen(addr) {
			t.Errorf("the peerstore has %s while the attempt is under way", addr)
		}
	}
	b.Peerstore().AddAddrs(a.ID(), a.Addrs(), time.Hour)
	c, err := b.Network().DialPeer(network.WithForceDirectDial(testContext(t), "user"), a.ID())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(a.Addrs(), c.RemoteMultiaddr().Equal) {
		t.Errorf("connected to %s, want one of %s", c.RemoteMultiaddr(), a.Addrs())
	}
	if err := <-direct; err != nil {
		t.Errorf("whoever waited for a direct connection got %v, and one is there", err)
	}
}

// TestIdentifyEndsDuringAttempt: identify takes addresses of the peer away whenever it ends, here
// all the time. Each attempt succeeds.
func TestIdentifyEndsDuringAttempt(t *testing.T) {
	t.Parallel()
	relay, server := newRelay(t), stuntest.New(t)
	a := newPeer(t, Enable(WithSTUNServers(server), WithOnRequestOnly()))
	for range 5 {
		b := newPeer(t, Enable(WithSTUNServers(server), WithOnRequestOnly()))
		connectRelayed(t, relay, a, b)
		over := make(chan struct{})
		var identify sync.WaitGroup
		identify.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					b.Peerstore().UpdateAddrs(a.ID(), peerstore.ConnectedAddrTTL, peerstore.TempAddrTTL)
					b.Peerstore().UpdateAddrs(a.ID(), peerstore.TempAddrTTL, 0)
				}
			}
		})
		_, err := DirectConnect(testContext(t), b, a.ID())
		close(over)
		identify.Wait()
		if err != nil {
			t.Error(err)
		}
	}
}

// holdOffers has h read OFFERs, and answer none until the test ends. The channel gets a value for
// each.
func holdOffers(t testing.TB, h interface {
	SetStreamHandler(pid protocol.ID, f network.StreamHandler)
}) <-chan struct{} {
	offered := make(chan struct{}, 1000)
	over := make(chan struct{})
	h.SetStreamHandler(holepunch.Protocol, func(s network.Stream) {
		defer s.Reset()
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			return
		}
		offered <- struct{}{}
		<-over
	})
	t.Cleanup(func() { close(over) })
	return offered
}

// Only a dial of the transport's own sees its address.
func TestResolve(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		want   []ma.Multiaddr
	}{
		"ours":                    {dialReason + "1", []ma.Multiaddr{simopenAddr}},
		"user's direct dial":      {"user", nil},
		"user's dial":             {"", nil},
		"user's simopen of sorts": {serviceName, nil},
	} {
		ctx := t.Context()
		if tc.reason != "" {
			ctx = network.WithForceDirectDial(ctx, tc.reason)
		}
		got, err := new(Transport).Resolve(ctx, simopenAddr)
		if err != nil || !slices.EqualFunc(got, tc.want, ma.Multiaddr.Equal) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tc.want)
		}
	}
}

func TestRank(t *testing.T) {
	t.Parallel()
	one, two := ma.StringCast("/ip4/192.0.2.1/tcp/4001"), ma.StringCast("/ip4/192.0.2.2/tcp/4001")
	d := &swarmDialer{}
	rank := d.rank(swarm.NoDelayDialRanker)
	for name, tc := range map[string]struct{ addrs, want []ma.Multiaddr }{
		"user's dial": {[]ma.Multiaddr{one, two}, []ma.Multiaddr{one, two}},
		"ours":        {[]ma.Multiaddr{one, simopenAddr, two}, []ma.Multiaddr{simopenAddr}},
	} {
		var got []ma.Multiaddr
		for _, a := range rank(tc.addrs) {
			got = append(got, a.Addr)
		}
		if !slices.EqualFunc(got, tc.want, ma.Multiaddr.Equal) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
	if !d.ranks.Load() {
		t.Error("it is not known that the ranker was asked")
	}
}

// The swarm takes the connection that it is given, dials none of the peer's other addresses, and no
// address is left.
func TestHandOver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		connected bool // already
		err       error
		opts      []libp2p.Option
	}{
		"taken":              {},
		"own ranker":         {opts: []libp2p.Option{libp2p.SwarmOpts(swarm.WithDialRanker(swarm.DefaultDialRanker))}},
		"there is one":       {connected: true},
		"refused by a gater": {err: swarm.ErrGaterDisallowedConnection, opts: []libp2p.Option{libp2p.ConnectionGater(gater{hook: "InterceptUpgraded"})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newHost(t), newHost(t, append(tc.opts, Enable())...)
			addr := a.Addrs()[0]
			made, err := b.Network().(interface {
				TransportForDialing(ma.Multiaddr) tpt.Transport
			}).TransportForDialing(addr).Dial(testContext(t), addr, a.ID())
			if err != nil {
				t.Fatal(err)
			}
			if tc.connected {
				if err := b.Connect(testContext(t), info(a)); err != nil {
					t.Fatal(err)
				}
			}
			b.Peerstore().AddAddr(a.ID(), ma.StringCast("/ip4/127.0.0.1/tcp/1"), time.Hour)
			c, err := find(b).swarm.handOver(testContext(t), b, made)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err == nil && c != directConn(b, a.ID()) {
				t.Errorf("got %v, want the swarm's connection %v", c, directConn(b, a.ID()))
			}
			if taken := err == nil && !tc.connected; made.IsClosed() == taken {
				t.Errorf("taken: %v, closed: %v", taken, made.IsClosed())
			}
			if n := len(find(b).swarm.made); n > 0 {
				t.Errorf("%d connections are kept", n)
			}
			wantNoSimopenAddr(t, a, b)
		})
	}
}

// A lostNetwork loses the peer during a dial, upon which identify puts its addresses back.
type lostNetwork struct {
	network.Network
	lost func()
}

func (n lostNetwork) Connectedness(peer.ID) network.Connectedness { return network.NotConnected }
func (n lostNetwork) DialPeer(context.Context, peer.ID) (network.Conn, error) {
	n.lost()
	return nil, network.ErrNoConn
}

// A madeConn is a connection with "peer".
type madeConn struct{ tpt.CapableConn }

func (madeConn) RemotePeer() peer.ID { return "peer" }
func (madeConn) Close() error        { return nil }

type lostHost struct {
	host.Host
	network lostNetwork
	store   peerstore.Peerstore
}

func (h lostHost) Network() network.Network       { return h.network }
func (h lostHost) Peerstore() peerstore.Peerstore { return h.store }

// The address of a dial does not stay in the peerstore if the peer is lost meanwhile.
func TestAddressIsNotPutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := pstoremem.NewPeerstore()
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		h := lostHost{store: store, network: lostNetwork{lost: func() {
			addrs := store.Addrs("peer")
			time.AfterFunc(time.Millisecond, func() {
				store.AddAddrs("peer", addrs, peerstore.RecentlyConnectedAddrTTL)
			})
		}}}
		if _, err := new(swarmDialer).handOver(t.Context(), h, madeConn{}); err == nil {
			t.Error("handed over")
		}
		time.Sleep(time.Second)
		if addrs := store.Addrs("peer"); len(addrs) > 0 {
			t.Errorf("%v is left", addrs)
		}
	})
}
