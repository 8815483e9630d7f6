package transport

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func addrPorts(ss ...string) []netip.AddrPort {
	as := make([]netip.AddrPort, len(ss))
	for i, s := range ss {
		as[i] = netip.MustParseAddrPort(s)
	}
	return as
}

// newSTUNServerThatSees starts a server that tells everybody one address.
func newSTUNServerThatSees(t *testing.T, mapped netip.AddrPort) string {
	return newBadSTUNServer(t, func(c net.Conn) {
		for {
			header := make([]byte, 20)
			if _, err := io.ReadFull(c, header); err != nil {
				return
			}
			m := &pion.Message{Raw: append(header, make([]byte, int(header[2])<<8|int(header[3]))...)}
			if _, err := io.ReadFull(c, m.Raw[20:]); err != nil || m.Decode() != nil {
				return
			}
			c.Write(pion.MustBuild(m, pion.BindingSuccess, &pion.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: int(mapped.Port())}).Raw)
		}
	})
}

// More observers than a message has room for, each with an answer of its own.
func TestManyAddresses(t *testing.T) {
	var servers []string
	for i := range holepunch.MaxCandidates + 1 {
		servers = append(servers, newSTUNServerThatSees(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(50000+i))))
	}
	h := newPeer(t, Enable(WithSTUNServers(servers...)))
	tr := find(h)
	port, err := tr.dialPort()
	if err != nil {
		t.Fatal(err)
	}
	port.use(1)
	defer port.use(-1)
	s, err := tr.takeStance(testContext(t), h, "peer", port)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	if n := len(s.terms.Candidates); n == 0 || n > holepunch.MaxCandidates {
		t.Errorf("%d candidates, want 1 to %d", n, holepunch.MaxCandidates)
	}
}

// A server that sees the next mapping elsewhere than the others see the port does not
// have the peer connect to somebody else.
func TestForetoldAddressIsOurs(t *testing.T) {
	ours := addrPorts("46.0.0.1:4000")
	servers := []string{newSTUNServerThatSees(t, addrPorts("46.0.0.9:7000")[0]), newSTUNServerThatSees(t, ours[0])}
	tr := newTransport(nil, defaultParts, nil, nil, newRanker(false), config{servers: servers})
	s := &stance{release: func() {}, reflexive: ours, until: time.Now().Add(stanceTimeout)}
	s.terms.Behaviour = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1}
	if err := s.takeFresh(); err != nil {
		t.Fatal(err)
	}
	told := tr.foretell(testContext(t), s, nil)
	defer s.release()
	if got := s.terms.Candidates; !s.terms.Following || !slices.Equal(got, holepunch.Reflexive(ours...)) {
		t.Errorf("%v until then, want where the host is", got)
	}
	if err := told(); err != nil {
		t.Fatal(err)
	}
	if got := s.terms.Candidates[0].Addr; got != addrPorts("46.0.0.1:4001")[0] {
		t.Errorf("foretold %s, want the port after the one that the honest server sees", got)
	}
}

// What is known of a NAT does not outlive the host's stay behind it.
func TestNATOfAnotherNetwork(t *testing.T) {
	worst := stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}
	home := addrPorts("46.0.0.1:4000")
	for name, tc := range map[string]struct {
		sees view
		want stun.Behaviour
	}{
		"the same":            {view{addrs: home, mapping: stun.APDM}, worst},
		"no answer yet":       {view{}, worst},
		"another address":     {view{addrs: addrPorts("46.0.0.2:4000")}, stun.Behaviour{}},
		"a better mapping":    {view{addrs: home, mapping: stun.EIM}, stun.Behaviour{Mapping: stun.EIM}},
		"IPv6 besides":        {view{addrs: addrPorts("46.0.0.1:4000", "[2a00::1]:4000")}, worst},
		"IPv6 alone for once": {view{addrs: addrPorts("[2a00::1]:4000")}, worst},
	} {
		t.Run(name, func(t *testing.T) {
			n := nat{known: worst, addrs: []netip.Addr{home[0].Addr()}, next: time.Now().Add(natStale)}
			if got := n.behaviour(t.Context(), tc.sees); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if forgotten := n.known == (stun.Behaviour{}); forgotten != n.begin() {
				t.Error("sought anew, or not, against what is known")
			}
		})
	}
}

// A responder that gave up is not asked for another round. That a handshake failed may be a stranger's doing.
func TestNoRoundAfterRefusal(t *testing.T) {
	a := &attempt{own: &stance{}}
	a.own.terms.Behaviour = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential}
	failed := &holepunch.PunchError{Op: "open"}
	for _, failed.Err = range []error{holepunch.ErrNoConnection, holepunch.ErrHandshake} {
		if !a.again(t.Context(), time.Now(), failed) {
			t.Errorf("no second round for a foretold port after %v", failed)
		}
	}
	failed.Err = &holepunch.RemoteError{Status: pb.Status_FAILED}
	if a.again(t.Context(), time.Now(), failed) {
		t.Error("a second round, though the peer has ended the attempt")
	}
}

// A responder connects to the listener that an OFFER names, and to nothing else that it
// was told of that peer.
func TestDialBackDoesNotScan(t *testing.T) {
	elsewhere, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	scanned := make(chan struct{})
	go func() {
		if c, err := elsewhere.Accept(); err == nil {
			c.Close()
			close(scanned)
		}
	}()
	named, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()

	relay := newRelay(t)
	finished := make(chan struct{}, 1)
	victim := newPeer(t, Enable(WithSTUNServers(newSTUNServer(t)), WithTracer(func(e Event) {
		if e.Kind == Finished {
			finished <- struct{}{}
		}
	})))
	told := ma.StringCast("/ip4/127.0.0.1/tcp/" + itoa(uint16(elsewhere.Addr().(*net.TCPAddr).Port)))
	attacker := newPeer(t, libp2p.AddrsFactory(func(as []ma.Multiaddr) []ma.Multiaddr { return append(slices.Clone(as), told) }))
	connectRelayed(t, relay, victim, attacker)
	victim.Peerstore().AddAddr(attacker.ID(), told, time.Hour) // identify may be late, or choosy
	ctx := testContext(t)
	s, err := attacker.NewStream(network.WithAllowLimitedConn(ctx, "test"), victim.ID(), holepunch.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	listener := ma.StringCast("/ip4/127.0.0.1/tcp/" + itoa(uint16(named.Addr().(*net.TCPAddr).Port)))
	attempt := make([]byte, 16)
	w := pbio.NewDelimitedWriter(s)
	if err := w.WriteMsg(&pb.Message{
		Type:       pb.Message_OFFER,
		Attempt:    attempt,
		Candidates: []*pb.Candidate{{Kind: pb.Candidate_LISTENER, Addr: listener.Bytes()}},
	}); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { named.Close() })
	defer stop()
	c, err := named.Accept()
	if err != nil {
		t.Fatalf("the listener was not connected to: %v", err)
	}
	c.Close()
	if err := w.WriteMsg(&pb.Message{Type: pb.Message_DONE, Attempt: attempt, Status: pb.Status_FAILED}); err != nil {
		t.Fatal(err)
	}
	<-finished
	select {
	case <-scanned:
		t.Error("connected to an address that the peer named elsewhere")
	default:
	}
}

// newResponder is an attempt of a peer's, with a host at 46.0.0.1:4000.
func newResponder(t *testing.T) *attempt {
	t.Helper()
	h := newPeer(t, Enable(WithSTUNServers(newSTUNServer(t))))
	tr := find(h)
	port, err := tr.dialPort()
	if err != nil {
		t.Fatal(err)
	}
	a := &attempt{report: &report{t: tr, dir: network.DirInbound}, h: h, own: &stance{
		port:  port.Port,
		terms: holepunch.Terms{Candidates: holepunch.Reflexive(addrPorts("46.0.0.1:4000")...)},
	}}
	a.own.add(port.Port, a.peer)
	t.Cleanup(a.own.locals[0].Expect.Close)
	return a
}

// Predicted candidates that an OFFER left to follow are taken, once, in the place of those that only said where the
// peer is. Before that nothing is connected to.
func TestFollowingCandidates(t *testing.T) {
	a := newResponder(t)
	theirs := holepunch.Terms{Candidates: holepunch.Reflexive(addrPorts("46.0.0.2:5000")...), Following: true}
	if err := a.admit(theirs); err != nil {
		t.Fatal(err)
	}
	if got := a.punch().Remote; len(got) > 0 {
		t.Errorf("%v are connected to before they are told", got)
	}
	told := holepunch.Foretell(addrPorts("46.0.0.2:6000")[0], 1)
	if got := a.add(told); !slices.Equal(got, told) {
		t.Errorf("got %v, want %v", got, told)
	}
	if got := a.punch().Remote; !slices.Equal(got, told) {
		t.Errorf("%v are connected to, want %v", got, told)
	}
	if got := a.add(holepunch.Foretell(addrPorts("46.0.0.2:7000")[0], 1)); len(got) > 0 {
		t.Errorf("got %v a second time", got)
	}
}

// Candidates that come late: those of the site are taken, once, and no others.
func TestLateCandidates(t *testing.T) {
	a := newResponder(t)
	if err := a.admit(holepunch.Terms{Candidates: holepunch.Reflexive(addrPorts("46.0.0.1:5000")...)}); err != nil {
		t.Fatal(err)
	}
	late := func(kind pb.Candidate_Kind, addr netip.AddrPort) holepunch.Candidate {
		return holepunch.Candidate{Kind: kind, Addr: addr}
	}
	if got := a.add([]holepunch.Candidate{
		late(pb.Candidate_LISTENER, addrPorts("46.0.0.7:5000")[0]),
		late(pb.Candidate_REFLEXIVE, addrPorts("46.0.0.8:5000")[0]),
	}); len(got) > 0 {
		t.Errorf("got %v, want nothing that is not of the site", got)
	}
	own := lanCandidates(1)
	if len(own) == 0 {
		return // this machine has no private address
	}
	neighbour := late(pb.Candidate_LAN, netip.AddrPortFrom(own[0].Addr.Addr().Next(), 5000))
	if got := a.add([]holepunch.Candidate{neighbour}); !slices.Equal(got, []holepunch.Candidate{neighbour}) {
		t.Errorf("got %v, want %v", got, neighbour)
	}
	if got := a.add([]holepunch.Candidate{neighbour}); len(got) > 0 {
		t.Errorf("got %v a second time", got)
	}
}

// A peer that has connected to us claims to be a relay, and names a port of somebody's: that
// is not asked.
func TestStrangerIsNoObserver(t *testing.T) {
	victim := newHost(t, Enable())
	stranger := newHost(t, libp2p.NoListenAddrs)
	if err := stranger.Connect(testContext(t), info(victim)); err != nil {
		t.Fatal(err)
	}
	named := ma.StringCast("/ip4/127.0.0.1/tcp/6379")
	victim.Peerstore().AddAddr(stranger.ID(), named, time.Hour)
	victim.Peerstore().AddProtocols(stranger.ID(), proto.ProtoIDv2Hop)
	if got := find(victim).observers(0); len(got) > 0 {
		t.Errorf("%v would be asked", got)
	}
}
