package transport

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Delays of the sites' links, one way: 20 ms of RTT between two peers, and 12 ms to the
// relay. Not nothing, so that SYNs can cross, and little, so that tests are quick.
const (
	siteDelay  = 5 * time.Millisecond
	relayDelay = time.Millisecond
)

// Ports of the relay's host.
const (
	relayTCPPort = 4001
	stunPort     = 3478 // and the next
)

// A hostLab is a lab with a relay and a STUN server, for whole libp2p hosts as processes
// in it.
type hostLab struct {
	*natlab.Lab
	bridged   bool
	relay     peer.AddrInfo
	relaySite *natlab.Site
	stun      []string
}

// newHostLab makes a lab with a relay as cfg says.
func newHostLab(t testing.TB, cfg relayConfig) *hostLab {
	t.Helper()
	l := &hostLab{Lab: labtest.New(t, natlab.Config{Seed: 1})}
	l.startRelay(t, cfg, natlab.SiteConfig{Name: "relay", Delay: relayDelay})
	return l
}

// newBridgedLab is newHostLab with sites that a Linux bridge joins, with no delay. Their NATs are
// those of kernels.
func newBridgedLab(t testing.TB, cfg relayConfig) *hostLab {
	t.Helper()
	l := &hostLab{Lab: labtest.New(t, natlab.Config{Bridge: true}), bridged: true}
	l.startRelay(t, cfg, natlab.SiteConfig{Name: "relay"})
	return l
}

func (l *hostLab) startRelay(t testing.TB, cfg relayConfig, site natlab.SiteConfig) {
	t.Helper()
	l.relaySite = labtest.AddSite(t, l.Lab, site)
	host := addHost(t, l.relaySite, "relay")
	var err error
	cfg.Addrs[0] = host.Addr()
	if cfg.Addrs[1], err = host.AddAddr(); err != nil {
		t.Fatal(err)
	}
	if !cfg.NoSTUN {
		l.stun = []string{cfg.stunAddresses()[0].String()}
	}
	labtest.Start(t, host, "relay", cfg).Next(t, &l.relay)
}

// site adds a site whose NAT is given in words, as for [natlab.ParseBehaviour].
func (l *hostLab) site(t testing.TB, name, words string) *natlab.Site {
	t.Helper()
	return l.add(t, words, natlab.SiteConfig{Name: name})
}

// siteBehind is site for one that is inside another.
func (l *hostLab) siteBehind(t testing.TB, name, words string, outer *natlab.Site) *natlab.Site {
	t.Helper()
	return l.add(t, words, natlab.SiteConfig{Name: name, Behind: outer})
}

// site6 is site for one with IPv6 as well.
func (l *hostLab) site6(t testing.TB, name, words string) *natlab.Site {
	t.Helper()
	return l.add(t, words, natlab.SiteConfig{Name: name, IPv6: true})
}

func (l *hostLab) add(t testing.TB, words string, cfg natlab.SiteConfig) *natlab.Site {
	t.Helper()
	if !l.bridged && cfg.Delay == 0 {
		cfg.Delay = siteDelay
	}
	var err error
	if cfg.NAT, err = natlab.ParseBehaviour(words); err != nil {
		t.Fatal(err)
	}
	return labtest.AddSite(t, l.Lab, cfg)
}

func addHost(t testing.TB, s *natlab.Site, name string) *natlab.Host {
	t.Helper()
	h, err := s.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A labPeer is a libp2p host with simopen, as a process in the lab. One goroutine at a time
// may use it.
type labPeer struct {
	proc *labtest.Proc
	host *natlab.Host
	cfg  peerConfig
	id   peer.ID // once ready
}

// startPeer starts a peer. Start several and then make them ready: it takes a while.
func (l *hostLab) startPeer(t testing.TB, h *natlab.Host, cfg peerConfig) *labPeer {
	t.Helper()
	cfg.Relay = l.relay
	if cfg.STUN == nil {
		cfg.STUN = l.stun
	}
	return &labPeer{proc: labtest.Start(t, h, "peer", cfg), host: h, cfg: cfg}
}

// ready waits until the peers have begun.
func ready(t testing.TB, peers ...*labPeer) {
	t.Helper()
	for _, p := range peers {
		p.proc.Next(t, &p.id)
	}
}

func (p *labPeer) do(t testing.TB, answer any, cmd command) {
	t.Helper()
	p.proc.Send(t, cmd)
	p.proc.Next(t, answer)
}

// must is do for what has no reason to fail.
func (p *labPeer) must(t testing.TB, what string) {
	t.Helper()
	var o outcome
	if p.do(t, &o, command{Do: what}); o.Err != "" {
		t.Fatalf("%s cannot %s: %s", p.host.Name(), what, o.Err)
	}
}

// join connects the peer to the relay, and reserve makes it reachable through it.
func (p *labPeer) join(t testing.TB)    { t.Helper(); p.must(t, "join") }
func (p *labPeer) reserve(t testing.TB) { t.Helper(); p.must(t, "reserve") }

// forget makes the peer forget another one, and keep the relay.
func (p *labPeer) forget(t testing.TB, other *labPeer) {
	t.Helper()
	var o outcome
	p.do(t, &o, command{Do: "forget", Peer: other.id})
}

// learn has the peer wait until it knows its NAT.
func (p *labPeer) learn(t testing.TB) (b stun.Behaviour) {
	t.Helper()
	p.do(t, &b, command{Do: "learn"})
	return b
}

// leave makes the peer forget everybody, the relay included.
func (p *labPeer) leave(t testing.TB) { t.Helper(); p.must(t, "leave") }

// dial has the peer dial another one through the relay, where that one has a reservation,
// and wait for the direct connection.
func (p *labPeer) dial(t testing.TB, other *labPeer) (o outcome) {
	t.Helper()
	p.do(t, &o, command{Do: "dial", Peer: other.id})
	return o
}

// look returns the outcome of an attempt at the other peer, after that peer has it.
func (p *labPeer) look(t testing.TB, other *labPeer, direct bool) (o outcome) {
	t.Helper()
	p.do(t, &o, command{Do: "look", Peer: other.id, Direct: direct})
	return o
}

// steps returns what the tracer has reported since the last call.
func (p *labPeer) steps(t testing.TB) (s []step) {
	t.Helper()
	p.do(t, &s, command{Do: "steps"})
	return s
}

func (p *labPeer) stats(t testing.TB) (s peerStats) {
	t.Helper()
	p.do(t, &s, command{Do: "stats"})
	return s
}

// ports returns the host's own punching ports.
func (p *labPeer) ports(t testing.TB) (ports []string) {
	t.Helper()
	p.do(t, &ports, command{Do: "ports"})
	return ports
}

// punch has dialler dial listener, and returns what each of them got.
func punch(t testing.TB, dialler, listener *labPeer) (d, l outcome) {
	t.Helper()
	listener.reserve(t)
	dialler.join(t)
	d = dialler.dial(t, listener)
	l = listener.look(t, dialler, d.Direct)
	if d.Direct != l.Direct {
		t.Errorf("%s has %v\n%s has %v", dialler.host.Name(), d, listener.host.Name(), l)
	}
	return d, l
}

// logSteps logs what the peers' tracers have reported.
func logSteps(t testing.TB, peers ...*labPeer) {
	t.Helper()
	for _, p := range peers {
		for _, s := range p.steps(t) {
			t.Logf("%s: %v", p.host.Name(), s)
		}
	}
}

func (o outcome) String() string {
	if !o.Direct {
		return fmt.Sprintf("no direct connection after %v: %s", o.Took, o.Err)
	}
	return fmt.Sprintf("a direct connection to %s (%s) after %v", o.Remote, o.Direction, o.Took)
}

func (s step) String() string {
	words := []string{s.At.Format("05.000"), s.Direction, string(s.Kind)}
	if s.Own != nil {
		words = append(words, fmt.Sprintf("own %s, theirs %s", s.Own, s.Theirs))
	}
	if s.Remote != "" {
		words = append(words, s.Remote)
	}
	if s.Err != "" {
		words = append(words, s.Err)
	}
	return strings.Join(words, " ")
}

// TestPunchInLab: two homes of the usual kind, whole hosts, either one as the dialler.
func TestPunchInLab(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a := l.startPeer(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), peerConfig{})
	b := l.startPeer(t, addHost(t, l.site(t, "office", "eim-apdf-rst"), "bob"), peerConfig{})
	ready(t, a, b)
	for range 2 {
		d, r := punch(t, a, b)
		if !d.Direct || d.Direction != "Outbound" || r.Direction != "Inbound" {
			t.Errorf("the dialler has %v\nthe listener has %v", d, r)
			logSteps(t, a, b)
		}
		a.leave(t)
		b.leave(t)
		a, b = b, a
	}
}
