package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["liar"] = liarRole }

type liarConfig struct {
	Addr netip.Addr
	Lies map[string]string // by the address that it sees, the multiaddr that it tells
}

// Ports of the liar's to which it leads peers. At the first it plays an initiator's part, at
// the second a responder's.
const trapPort = 5000

// liarRole is a relay that reports a wrong address to some hosts. It emits its own, and at the end
// what it got at its traps.
func liarRole(c *labtest.Child) error {
	var cfg liarConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	h, err := libp2p.New(
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%d", cfg.Addr, relayTCPPort)),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := relay.New(h, relay.WithInfiniteLimits())
	if err != nil {
		return err
	}
	defer r.Close()
	key, err := crypto.MarshalPublicKey(h.Peerstore().PubKey(h.ID()))
	if err != nil {
		return err
	}
	h.SetStreamHandler(identify.ID, func(s network.Stream) {
		defer s.Close()
		m := &idpb.Identify{PublicKey: key, ObservedAddr: s.Conn().RemoteMultiaddr().Bytes(), Protocols: []string{proto.ProtoIDv2Hop, identify.ID}}
		for _, a := range h.Addrs() {
			m.ListenAddrs = append(m.ListenAddrs, a.Bytes())
		}
		seen, _ := fromMultiaddr(s.Conn().RemoteMultiaddr())
		if lie := cfg.Lies[seen.Addr().String()]; lie != "" {
			m.ObservedAddr = ma.StringCast(lie).Bytes()
		}
		pbio.NewDelimitedWriter(s).WriteMsg(m)
	})
	if err := c.Emit(info(h)); err != nil {
		return err
	}
	var victim attack // what there is to know of it
	if err := c.Receive(&victim); err != nil {
		return err
	}
	traps := make([]*stranger, 2)
	for i := range traps {
		if traps[i], err = newStranger(); err != nil {
			return err
		}
		traps[i].Victim, traps[i].Server = victim.Victim, i == 1
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", trapPort+i))
		if err != nil {
			return err
		}
		defer l.Close()
		go traps[i].lure(l)
	}
	if err := c.Emit(true); err != nil {
		return err
	}
	if err := c.Receive(&victim); err != nil {
		return err
	}
	for _, s := range traps {
		s.mu.Lock()
		got := s.got
		s.mu.Unlock()
		if err := c.Emit(got); err != nil {
			return err
		}
	}
	return c.UntilEnd()
}

// lure treats any connection as a peer's.
func (s *stranger) lure(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			t := &tallied{Conn: c}
			defer c.Close()
			s.count(func(b *booty) { b.Tried++; b.Connected++ })
			s.upgrade(t, s.noise)
			s.count(func(b *booty) {
				b.Most = max(b.Most, t.n)
				b.All += t.n
			})
		}()
	}
}

// A lie is the address that a relay reports to one host.
type lie struct {
	tells     string
	honest    bool // another observer reports the right address
	direct    bool // the outcome
	forbidden bool // no SYN is sent there
	alice     *labPeer
	got       outcome
}

// TestRelayLies: a relay that is the observer, too, reports to a host an address that is another
// host's, or no host's. Its peer sends some SYNs there, and takes no other host for the peer.
func TestRelayLies(t *testing.T) {
	t.Parallel()
	l := &hostLab{Lab: labtest.New(t, natlab.Config{Seed: 1})}
	evil := addHost(t, l.site(t, "relay", "public"), "relay")
	var third []netip.Addr // parties, which refuse what comes in
	street := l.site(t, "street", "public")
	for i := range 3 {
		third = append(third, addHost(t, street, fmt.Sprint("third party ", i)).Addr())
	}
	honest := addHost(t, l.site(t, "honest", "public"), "honest")
	office, shop := l.site(t, "office", "eim-apdf"), l.site(t, "shop", "eim-apdf")
	at := func(a netip.Addr, port int) string { return fmt.Sprintf("/ip4/%s/tcp/%d", a, port) }
	private := netip.MustParseAddr("192.168.1.1")
	lies := []*lie{
		{tells: at(third[0], 40000)},
		{tells: at(netip.MustParseAddr("46.0.99.1"), 40000)}, // there is no host
		{tells: at(private, 40000), forbidden: true},
		{tells: at(third[1], 22), forbidden: true},
		{tells: at(evil.Addr(), trapPort)},
		{tells: at(third[2], 40001), honest: true, direct: true},
		{tells: at(private, 40001), honest: true, direct: true, forbidden: true},
		{tells: at(evil.Addr(), trapPort), honest: true, direct: true},
		{}, // of the one who is dialled, this time
	}
	cfg := liarConfig{Addr: evil.Addr(), Lies: map[string]string{shop.External().String(): at(evil.Addr(), trapPort+1)}}
	var homes []*natlab.Site
	for i, lie := range lies {
		homes = append(homes, l.site(t, fmt.Sprint("home ", i), "eim-apdf"))
		cfg.Lies[homes[i].External().String()] = lie.tells
	}
	liar := labtest.Start(t, evil, "liar", cfg)
	liar.Next(t, &l.relay)
	second, err := honest.AddAddr()
	if err != nil {
		t.Fatal(err)
	}
	sees := l.relay
	labtest.Start(t, honest, "relay", relayConfig{Addrs: [2]netip.Addr{honest.Addr(), second}, NoSTUN: true}).Next(t, &sees)

	// The usual ones have eight connections through one relay.
	many := peerConfig{NoLimits: true, Timeout: briefTimeout}
	bob, carol := l.startPeer(t, addHost(t, office, "bob"), many), l.startPeer(t, addHost(t, shop, "carol"), many)
	for i, lie := range lies {
		lie.alice = l.startPeer(t, addHost(t, homes[i], fmt.Sprint("alice ", i)), peerConfig{Timeout: briefTimeout})
	}
	ready(t, bob, carol)
	bob.reserve(t)
	carol.reserve(t)
	liar.Send(t, attack{Victim: bob.id})
	liar.Next(t, new(bool))
	counts := []*labtest.SYNs{labtest.CountSYNs(office)}
	for _, h := range homes {
		counts = append(counts, labtest.CountSYNs(h))
	}
	for i, lie := range lies {
		ready(t, lie.alice)
		if lie.honest {
			lie.alice.connect(t, sees)
		}
		to := bob
		if i == len(lies)-1 {
			to, lie.tells = carol, cfg.Lies[shop.External().String()]
		}
		lie.alice.proc.Send(t, command{Do: "dial", Peer: to.id})
	}
	for _, lie := range lies {
		lie.alice.proc.Next(t, &lie.got)
		told, _ := fromMultiaddr(ma.StringCast(lie.tells))
		var there, atAddr int
		for _, c := range counts {
			there += c.Sum(func(a netip.AddrPort) bool { return a == told })
			atAddr += c.Sum(func(a netip.AddrPort) bool { return a.Addr() == told.Addr() })
		}
		name := fmt.Sprintf("told %s, another observer %v", told, lie.honest)
		t.Logf("%s: %d SYNs there, %d to that address; %v", name, there, atAddr, lie.got)
		if lie.got.Direct != lie.direct || !lie.direct && lie.got.Reason == "" {
			t.Errorf("%s: want a direct connection %v, or a reason", name, lie.direct)
		}
		if lie.got.Direct && !strings.HasPrefix(lie.got.Remote, "/ip4/"+office.External().String()+"/") {
			t.Errorf("%s: connected to %s", name, lie.got.Remote)
		}
		// A peer's SYNs, for as long as an attempt goes on. Those to the relay are its own.
		if most := 256 + 16*20; atAddr > most && told.Addr() != evil.Addr() || lie.forbidden && there > 0 {
			t.Errorf("%s: %d SYNs there, %d to that address", name, there, atAddr)
		}
	}
	for _, lie := range lies[:len(lies)-1] {
		lie.alice.ping(t, bob.id, "relayed")
		if o := bob.look(t, lie.alice, lie.direct); o.Direct != lie.direct {
			t.Errorf("bob has %v with %s", o, lie.alice.host.Name())
		}
	}
	liar.Send(t, attack{})
	for i := range 2 {
		var b booty
		liar.Next(t, &b)
		t.Logf("at trap %d: %v", i, b)
		if b.Connected == 0 {
			t.Error("nobody came to the trap: this test shows nothing")
		}
		if b.Admitted > 0 {
			t.Errorf("somebody took the relay for the peer %d times", b.Admitted)
		}
	}
}
