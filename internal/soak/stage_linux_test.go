package soak

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// nats are the peers', which are named after them. Between them are all outcomes: at once, in a
// race of RSTs, by port prediction, by a passive side, and none at all.
var nats = []string{
	"eim-apdf",
	"eim-apdf-rst",
	"eim-adf",
	"apdm-apdf-sequential",
	"eim-apdf-rst-rstkills",
	"eim-eif-icmp",
	"apdm-apdf-random",
}

// mortal are the peers that are killed now and then. The others live as long as the test, so
// that what grows in them is seen.
var mortal = map[string]bool{"eim-apdf-rst": true, "eim-eif-icmp": true}

// Delays of links, one way: 40 ms of RTT between peers, and 24 ms to a relay.
const (
	peerDelay   = 10 * time.Millisecond
	serverDelay = 2 * time.Millisecond
)

const stunPort = 3478 // and the next

// A station is a host of the lab and the process in it. The test's goroutine alone uses it.
type station struct {
	name string
	site *natlab.Site
	host *natlab.Host
	id   peer.ID // of a peer or a relay

	role    string
	cfg     any
	proc    *labtest.Proc
	reports chan report // answers to commands; closed at the end of the process

	first, last *sample // of the process
}

// A stage is the lab with all that is in it.
type stage struct {
	lab    *natlab.Lab
	relays []*station
	stun   *station
	peers  []*station
	tally  *tally
}

func newStage(t *testing.T, seed uint64, nats []string) *stage {
	s := &stage{lab: labtest.New(t, natlab.Config{Seed: seed}), tally: newTally()}
	var infos []peer.AddrInfo
	for _, name := range []string{"relay north", "relay south"} {
		r := s.add(t, name, "relay", natlab.SiteConfig{Delay: serverDelay})
		var key []byte
		key, r.id = identity(t, seed, name)
		r.cfg = relayConfig{Key: key, Addr: r.host.Addr()}
		infos = append(infos, peer.AddrInfo{ID: r.id, Addrs: []ma.Multiaddr{
			ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", r.host.Addr(), relayPort)),
		}})
		s.relays = append(s.relays, r)
	}
	s.stun = s.add(t, "stun server", "stun", natlab.SiteConfig{Delay: serverDelay})
	second, err := s.stun.host.AddAddr()
	if err != nil {
		t.Fatal(err)
	}
	addrs := [2]netip.AddrPort{
		netip.AddrPortFrom(s.stun.host.Addr(), stunPort),
		netip.AddrPortFrom(second, stunPort+1),
	}
	s.stun.cfg = addrs
	cfgs := make([]peerConfig, len(nats))
	for i, words := range nats {
		nat, err := natlab.ParseBehaviour(words)
		if err != nil {
			t.Fatal(err)
		}
		p := s.add(t, words, "peer", natlab.SiteConfig{NAT: nat, Delay: peerDelay})
		cfgs[i] = peerConfig{Relays: infos, STUN: []string{addrs[0].String()}, Seed: seed + uint64(i)}
		cfgs[i].Key, p.id = identity(t, seed, words)
		s.peers = append(s.peers, p)
	}
	for i := range s.peers {
		for j := range i {
			// Of two peers one dials, and each dials as many as dial it.
			dialler, other := i, j
			if (i+j)%2 == 0 {
				dialler, other = j, i
			}
			cfgs[dialler].Dials = append(cfgs[dialler].Dials, s.peers[other].id)
		}
	}
	for i, p := range s.peers {
		p.cfg = cfgs[i]
	}
	return s
}

func (s *stage) add(t *testing.T, name, role string, cfg natlab.SiteConfig) *station {
	t.Helper()
	cfg.Name = name
	site, err := s.lab.AddSite(cfg)
	if err != nil {
		t.Fatal(err)
	}
	host, err := site.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return &station{name: name, site: site, host: host, role: role}
}

// identity makes a key that is the same for the same seed and name.
func identity(t *testing.T, seed uint64, name string) ([]byte, peer.ID) {
	t.Helper()
	var b [ed25519.SeedSize]byte
	binary.BigEndian.PutUint64(b[:], seed)
	copy(b[8:], name)
	key, _, err := crypto.KeyPairFromStdKey(ptr(ed25519.NewKeyFromSeed(b[:])))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text, id
}

func ptr[T any](v T) *T { return &v }

func (s *stage) all() []*station {
	return append(append([]*station{s.stun}, s.relays...), s.peers...)
}

func (s *stage) name(id peer.ID) string {
	for _, st := range s.all() {
		if st.id == id {
			return st.name
		}
	}
	return id.String()
}

// start starts the process of a station, and waits until it is ready.
func (s *stage) start(t *testing.T, st *station) {
	t.Helper()
	st.proc = labtest.Start(t, st.host, st.role, st.cfg)
	st.reports = make(chan report, 4)
	st.first, st.last = nil, nil
	go func(p *labtest.Proc, answers chan<- report) {
		defer close(answers)
		for e := range p.Events() {
			var r report
			if err := json.Unmarshal(e, &r); err != nil {
				t.Errorf("%s: %s: %v", st.name, e, err)
				continue
			}
			switch {
			case r.Punch != nil:
				s.tally.punch(r.Punch)
			case r.Round != nil:
				s.tally.round(st.name, s.name(r.Round.Peer), s.name(r.Round.Relay), r.Round)
			default:
				answers <- r
			}
		}
	}(st.proc, st.reports)
	st.answer(t)
}

// patience is how long a process may take to answer: longer than a round, and than it takes to
// settle.
const patience = 3 * time.Minute

func (st *station) answer(t *testing.T) report {
	t.Helper()
	select {
	case r, ok := <-st.reports:
		if !ok {
			t.Fatalf("%s: the process has ended: %v", st.name, st.proc.Wait(t))
		}
		if r.Err != "" {
			t.Errorf("%s: %s: %s", st.name, r.Did, r.Err)
		}
		return r
	case <-time.After(patience):
		st.proc.Abort() // it prints the stacks of all its goroutines
		t.Fatalf("%s: the process does not answer", st.name)
	}
	return report{}
}

func (st *station) do(t *testing.T, cmd command) report {
	t.Helper()
	st.proc.Send(t, cmd)
	return st.answer(t)
}

// each has several stations do the same, side by side.
func each(t *testing.T, stations []*station, what string) {
	t.Helper()
	for _, st := range stations {
		st.proc.Send(t, command{Do: what})
	}
	for _, st := range stations {
		st.answer(t)
	}
}
