package transport

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() {
	commands["besieged"] = (*labHost).besieged
	// One of go-libp2p's own limits counts what a test does in a minute: connections a second from an
	// address.
	hostOptions["no rates"] = func(*labHost) []libp2p.Option {
		limits := rcmgr.DefaultLimits
		libp2p.SetDefaultServiceLimits(&limits)
		m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()), rcmgr.WithConnRateLimiters(&rate.Limiter{}))
		if err != nil {
			panic(err)
		}
		return []libp2p.Option{libp2p.ResourceManager(m)}
	}
}

// A siegeReport is what strangers have come to at a peer, when its attempts are over.
type siegeReport struct {
	Chosen  int
	Sockets []string // that lead to the peer's site
}

// besieged waits for the end of the attempt with a peer, and reports what strangers did.
func (h *labHost) besieged(ctx context.Context, cmd command) any {
	if err := h.awaitFinished(ctx, cmd.Peer); err != nil {
		return err.Error()
	}
	var r siegeReport
	c := directConn(h, cmd.Peer)
	if c == nil {
		return r
	}
	remote, _ := fromMultiaddr(c.RemoteMultiaddr())
	for r.Chosen == 0 && ctx.Err() == nil {
		h.mu.Lock()
		for _, s := range h.steps {
			if s.Kind == holepunch.Chosen {
				r.Chosen++
			}
		}
		changed := h.changed
		h.mu.Unlock()
		if r.Chosen == 0 { // it is reported beside the end of the attempt
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	h.mu.Lock()
	h.steps = nil
	h.mu.Unlock()
	for r.Sockets = socketsTo(remote.Addr()); len(r.Sockets) != 1 && ctx.Err() == nil; { // those of the swarm's dials end soon
		time.Sleep(100 * time.Millisecond) // to read them takes the kernel some milliseconds
		r.Sockets = socketsTo(remote.Addr())
	}
	return r
}

// socketsTo lists the host's TCP sockets that are connected to an address.
func socketsTo(to netip.Addr) (found []string) {
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return []string{err.Error()}
	}
	a := to.As4()
	hex := fmt.Sprintf("%08X:", binary.LittleEndian.Uint32(a[:]))
	const timeWait = "06"
	for _, line := range strings.Split(string(table), "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[2], hex) && f[3] != timeWait {
			found = append(found, strings.Join(f[1:4], " "))
		}
	}
	return found
}

// A siege is a peer behind a NAT that lets in anybody, another behind a carrier's, and a stranger
// behind that, too: it has the address that the first one expects the second at.
type siege struct {
	*hostLab
	victim, peer *labPeer
	stranger     *labtest.Proc
	elsewhere    *labtest.Proc // one at another address
	targets      []string
}

func newSiege(t testing.TB, carrier string) *siege {
	l := newHostLab(t, relayConfig{})
	home, shared := l.site(t, "home", "eim-eif"), l.site(t, "carrier", carrier)
	cfg := peerConfig{Options: []string{"no rates"}}
	s := &siege{hostLab: l, victim: l.startPeer(t, addHost(t, home, "alice"), cfg), peer: l.startPeer(t, addHost(t, shared, "bob"), cfg)}
	s.stranger = labtest.Start(t, addHost(t, shared, "mallory"), "stranger", nil)
	s.elsewhere = labtest.Start(t, addHost(t, l.site(t, "elsewhere", "public"), "trudy"), "stranger", nil)
	ready(t, s.victim, s.peer)
	for _, p := range []*labPeer{s.victim, s.peer} {
		p.join(t)
		p.learn(t)
	}
	for _, port := range s.victim.ports(t) {
		s.targets = append(s.targets, netip.AddrPortFrom(home.External(), 0).Addr().String()+":"+port)
	}
	return s
}

// roles are which side dials, with the victim in a role.
func (s *siege) roles(initiates bool) (dialler, listener *labPeer) {
	if initiates {
		return s.victim, s.peer
	}
	return s.peer, s.victim
}

// punchUnder makes the peers connect directly during an attack, and returns the result.
func (s *siege) punchUnder(t testing.TB, by *labtest.Proc, a attack) (o outcome, r siegeReport, b booty) {
	t.Helper()
	a.Targets, a.Victim = s.targets, s.victim.id
	dialler, listener := s.roles(a.Server)
	listener.reserve(t)
	dialler.join(t)
	if by != nil {
		by.Send(t, a)
		by.Next(t, &a.Kind)
	}
	o = dialler.dial(t, listener)
	if got := listener.look(t, dialler, o.Direct); got.Direct != o.Direct {
		t.Errorf("%s has %v, %s has %v", dialler.host.Name(), o, listener.host.Name(), got)
	}
	if o.Direct {
		dialler.ping(t, listener.id, "direct")
		dialler.ping(t, listener.id, "relayed")
	} else {
		t.Errorf("%s has %v", dialler.host.Name(), o)
		logSteps(t, dialler, listener)
	}
	if by != nil {
		by.Send(t, attack{})
		by.Next(t, &b)
	}
	s.victim.do(t, &r, command{Do: "besieged", Peer: s.peer.id})
	s.victim.leave(t)
	s.peer.leave(t)
	return o, r, b
}

// TestStrangers: a stranger at the peer's public address, which both NATs let through, hinders no
// peer, whatever it tries, and gets nothing.
func TestStrangers(t *testing.T) {
	t.Parallel()
	// A siege is one attempt after the other, most of which take the 5 s that a stranger's connection
	// is given, so that there are several.
	for name, tc := range map[string]struct {
		carrier string
		kinds   []string
	}{
		// The peer comes from its candidates' ports,
		"from the same ports, idle":      {"eim-apdf", []string{"says nothing", "one byte a second"}},
		"from the same ports, many":      {"eim-apdf", []string{"crowd", "opens and closes"}},
		"from the same ports, talking":   {"eim-apdf", []string{"half a handshake", "noise"}},
		"from the same ports, imitating": {"eim-apdf", []string{"tls", "replays"}},
		// or from any, as the stranger does.
		"from any port, idle":    {"apdm-apdf-random", []string{"says nothing"}},
		"from any port, talking": {"apdm-apdf-random", []string{"half a handshake", "noise"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSiege(t, tc.carrier)
			heard := s.listenIn(t)
			said := make(map[bool][]byte)
			for _, server := range []bool{true, false} {
				s.punchUnder(t, nil, attack{Server: server})
				said[server] = heard()
			}
			base := s.settled(t, math.MaxInt)
			for _, kind := range tc.kinds {
				for _, server := range []bool{true, false} {
					name := kind + " to a responder"
					if server {
						name = kind + " to an initiator"
					}
					t.Run(name, func(t *testing.T) {
						o, r, b := s.punchUnder(t, s.stranger, attack{Kind: kind, Server: server, Say: said[server]})
						t.Logf("%v; the stranger had %v", o.Took, b)
						if b.Connected == 0 {
							t.Error("no stranger got in: this test shows nothing")
						}
						wantNothing(t, r, b)
					})
				}
			}
			t.Run("from another address", func(t *testing.T) {
				_, r, b := s.punchUnder(t, s.elsewhere, attack{Kind: "half a handshake"})
				if b.Connected == 0 {
					t.Error("no stranger got in: this test shows nothing")
				}
				if wantNothing(t, r, b); b.All != 0 {
					t.Errorf("the stranger had %v, want none", b)
				}
			})
			s.settled(t, base)
		})
	}
}

// wantNothing wants one connection to be secured, and the stranger's all to be gone.
func wantNothing(t *testing.T, r siegeReport, b booty) {
	t.Helper()
	if r.Chosen != 1 || len(r.Sockets) != 1 {
		t.Errorf("%d connections were chosen, and there are sockets %v; want one", r.Chosen, r.Sockets)
	}
	if b.Admitted != 0 || b.Held != 0 {
		t.Errorf("the stranger got %d connections, and holds %d", b.Admitted, b.Held)
	}
}

// settled wants the victim to have no connections, and so many goroutines at most. It returns how
// many.
func (s *siege) settled(t *testing.T, most int) int {
	t.Helper()
	var now peerStats
	for range 200 {
		if now = s.victim.stats(t); now.Goroutines <= most && now.System == (network.ScopeStat{}) {
			return now.Goroutines
		}
		time.Sleep(20 * time.Millisecond) // go-libp2p's own end some time after the connections
	}
	t.Errorf("the victim has %+v, want no connections and %d goroutines at most", now, most)
	return most
}

// listenIn records what passes at the victim's NAT. The function returned gives what the peer has
// said over its connection so far, and forgets it.
func (s *siege) listenIn(t *testing.T) (heard func() []byte) {
	type segment struct {
		seq  uint32
		data []byte
	}
	var mu sync.Mutex
	flows := make(map[[2]netip.AddrPort][]segment)
	shared := s.peer.host.Site().External()
	s.victim.host.Site().Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err != nil || e.Place != natlab.Outside || e.Direction != natlab.Inbound || !p.TCP() || p.Src().Addr() != shared {
			return
		}
		tcp := e.Packet[int(e.Packet[0]&15)*4:]
		data := tcp[int(tcp[12]>>4)*4:]
		mu.Lock()
		defer mu.Unlock()
		k := [2]netip.AddrPort{p.Src(), p.Dst()}
		if p.Flags()&natlab.SYN != 0 {
			delete(flows, k) // another connection's
		}
		if len(data) == 0 {
			return
		}
		flows[k] = append(flows[k], segment{binary.BigEndian.Uint32(tcp[4:]), data})
	})
	return func() (most []byte) {
		mu.Lock()
		defer mu.Unlock()
		for k, segments := range flows {
			slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(int32(a.seq-b.seq), 0) })
			var said []byte
			for _, s := range segments {
				if at := int(s.seq - segments[0].seq); at <= len(said) && at+len(s.data) > len(said) {
					said = append(said, s.data[len(said)-at:]...)
				}
			}
			if len(said) > len(most) {
				most = said
			}
			delete(flows, k)
		}
		if len(most) < 200 {
			t.Errorf("heard %d bytes, which is no handshake", len(most))
		}
		return most
	}
}
