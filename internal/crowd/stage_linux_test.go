package crowd

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

const (
	// hostsPerSite are behind one NAT, in one process.
	hostsPerSite = 20

	// Delays of links, one way. Sites are from 5 to 45 ms from the core.
	relayDelay = 2 * time.Millisecond
	leastDelay = 5 * time.Millisecond
	delaySteps = 9
)

// nats are those that the sites have in turn: as homes' are, with or without an answer to
// strangers.
var nats = []string{"eim-apdf", "eim-apdf-rst", "eim-adf", "eim-adf-rst"}

// A stage is a lab with a relay.
type stage struct {
	lab   *natlab.Lab
	host  *natlab.Host
	cfg   relayConfig
	relay *station
	info  peer.AddrInfo
	sites int
}

// A station is a process of the lab.
type station struct {
	name string
	proc *labtest.Proc
	ids  []peer.ID // of its hosts
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{lab: labtest.New(t, natlab.Config{Seed: 1})}
	site, err := s.lab.AddSite(natlab.SiteConfig{Name: "relay", Delay: relayDelay})
	if err != nil {
		t.Fatal(err)
	}
	if s.host, err = site.AddHost("relay"); err != nil {
		t.Fatal(err)
	}
	s.cfg.Addrs[0] = s.host.Addr()
	if s.cfg.Addrs[1], err = s.host.AddAddr(); err != nil {
		t.Fatal(err)
	}
	key, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.cfg.Key, err = crypto.MarshalPrivateKey(key); err != nil {
		t.Fatal(err)
	}
	if s.info.ID, err = peer.IDFromPrivateKey(key); err != nil {
		t.Fatal(err)
	}
	s.info.Addrs = []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", s.host.Addr(), relayPort))}
	s.startRelay(t)
	return s
}

func (s *stage) startRelay(t *testing.T) {
	t.Helper()
	s.relay = &station{name: "relay", proc: labtest.Start(t, s.host, "relay", s.cfg)}
	s.relay.next(t, nil)
}

// add starts a process of hosts at a site of its own, behind the next kind of NAT or the one that
// is named.
func (s *stage) add(t *testing.T, name string, hosts int, reserve bool, nat string) *station {
	t.Helper()
	if nat == "" {
		nat = nats[s.sites%len(nats)]
	}
	b, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	delay := leastDelay * time.Duration(1+s.sites%delaySteps)
	s.sites++
	site, err := s.lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	host, err := site.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := hostsConfig{Hosts: hosts, Relay: s.info, STUN: []string{s.cfg.stun()[0].String()}, Reserve: reserve}
	if reserve && *synsFlag > 0 {
		cfg.Limits.HostSYNs = holepunch.Rate{Burst: *synsFlag, PerSecond: float64(*synsFlag)}
	}
	st := &station{name: name, proc: labtest.Start(t, host, "hosts", cfg)}
	st.next(t, nil)
	return st
}

// join has all hosts of some processes connect to the relay.
func join(t *testing.T, stations ...*station) {
	t.Helper()
	for _, st := range stations {
		st.proc.Send(t, command{Do: "join"})
	}
	for _, st := range stations {
		st.next(t, &st.ids)
	}
}

// meet has each host of some processes meet others, and returns all meetings. then is called when
// the processes have got the command.
func meet(t *testing.T, stations []*station, with func(peer.ID) []peer.ID, then func()) (all []meeting) {
	t.Helper()
	for _, st := range stations {
		cmd := command{Do: "meet", For: bound(), With: make(map[int][]peer.ID)}
		for i, id := range st.ids {
			cmd.With[i] = with(id)
		}
		st.proc.Send(t, cmd)
	}
	then()
	for _, st := range stations {
		var some []meeting
		st.next(t, &some)
		all = append(all, some...)
	}
	return all
}

// next reads the next answer into v, unless that is nil.
func (st *station) next(t *testing.T, v any) {
	t.Helper()
	select {
	case answer, ok := <-st.proc.Events():
		switch {
		case !ok:
			t.Fatalf("%s: the process has ended: %v", st.name, st.proc.Wait(t))
		case v == nil:
		default:
			if err := json.Unmarshal(answer, v); err != nil {
				t.Fatalf("%s: %s: %v", st.name, answer, err)
			}
		}
	case <-time.After(bound() + patience):
		st.proc.Abort() // it prints the stacks of all its goroutines
		t.Fatalf("%s: the process does not answer", st.name)
	}
}

// patience is how much longer than its work a process may take to answer.
const patience = time.Minute

func (st *station) failures(t *testing.T) (failed map[holepunch.Reason]int) {
	t.Helper()
	st.proc.Send(t, command{Do: "failed"})
	st.next(t, &failed)
	return failed
}

func (st *station) usage(t *testing.T) (u usage) {
	t.Helper()
	st.proc.Send(t, command{Do: "usage"})
	st.next(t, &u)
	return u
}

func (st *station) watch(t *testing.T, p peer.ID) (worst time.Duration) {
	t.Helper()
	st.proc.Send(t, command{Do: "watch", Of: p})
	st.next(t, &worst)
	return worst
}
