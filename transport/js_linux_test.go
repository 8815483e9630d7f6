package transport

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// jsDir has a peer of js-libp2p.
const jsDir = "../interop/js"

// installJS returns why there is no js-libp2p. Under CI=true it installs it first.
var installJS = sync.OnceValue(func() error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: install Node.js 20 or later", err)
		}
	}
	_, err := os.Stat(filepath.Join(jsDir, "node_modules", ".package-lock.json")) // npm writes it last
	if err == nil {
		return nil
	}
	if os.Getenv("CI") != "true" {
		return errors.New("js-libp2p is not installed: run npm ci in interop/js")
	}
	npm := exec.Command("npm", "ci")
	npm.Dir = jsDir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in interop/js, which needs a registry: %w\n%s", err, out)
	}
	return nil
})

// requireJS skips the test without js-libp2p, as [labtest.Require] does without a lab.
func requireJS(t *testing.T) {
	t.Helper()
	labtest.Require(t)
	switch err := installJS(); {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI=true, but %v", err)
	default:
		t.Skip(err)
	}
}

// startJS starts a peer of js-libp2p, see interop/js/peer.js.
func startJS(t *testing.T, h *natlab.Host, args ...string) *labtest.Proc {
	t.Helper()
	cmd := exec.Command("node", append([]string{"peer.js"}, args...)...)
	cmd.Dir = jsDir
	return labtest.StartCommand(t, h, cmd)
}

func listenAt(h *natlab.Host) string { return fmt.Sprintf("/ip4/%s/tcp/4001", h.Addr()) }

// circuit is the address of a peer behind the lab's relay, without its peer ID.
func (l *hostLab) circuit() string {
	return fmt.Sprintf("%s/p2p/%s/p2p-circuit", l.relay.Addrs[0], l.relay.ID)
}

// TestJSRelay: js-libp2p relays between two hosts behind NATs, and is the only observer of their
// addresses.
func TestJSRelay(t *testing.T) {
	t.Parallel()
	requireJS(t)
	l := &hostLab{Lab: labtest.New(t, natlab.Config{Seed: 1})}
	relay := addHost(t, l.site(t, "relay", "public"), "relay")
	startJS(t, relay, "relay", listenAt(relay)).Next(t, &l.relay)
	home, office := l.site(t, "home", "eim-apdf"), l.site(t, "office", "eim-apdf-rst")
	// The hosts are new each time: those that have left a relay do not ask it at once when they are
	// back.
	for _, sites := range [][2]*natlab.Site{{home, office}, {office, home}} {
		a, b := l.newPair(t, addHost(t, sites[0], "alice"), addHost(t, sites[1], "bob"), peerConfig{})
		d, r := punch(t, a, b)
		t.Logf("alice, who dials from %s, has %v; bob has %v", sites[0].Name(), d, r)
		if !d.Direct || !strings.Contains(d.Remote, b.host.Site().External().String()) ||
			!r.Direct || !strings.Contains(r.Remote, a.host.Site().External().String()) {
			t.Error("want direct connections from NAT to NAT")
			logSteps(t, a, b)
		}
		for _, over := range []string{"relayed", "direct"} {
			a.ping(t, b.id, over)
			b.ping(t, a.id, over)
		}
	}
}

// dialled is what a peer of js-libp2p reports about one that it has dialled.
type dialled struct {
	Self, Peer peer.ID
	Limited    bool
	Protocols  []protocol.ID
	Listen     []string // what identify tells; js-libp2p can read all of it
	Signed     []string // those in the signed peer record
	PingMS     float64
}

// TestJSDialler: js-libp2p dials hosts with simopen, directly and through a relay.
func TestJSDialler(t *testing.T) {
	t.Parallel()
	requireJS(t)
	l := newHostLab(t, relayConfig{Limited: true})
	server, office := addHost(t, l.site(t, "server", "public"), "server"), l.site(t, "office", "eim-apdf-rst")
	s := l.startPeer(t, server, peerConfig{Listen: []string{listenAt(server)}})
	a := l.startPeer(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), peerConfig{})
	ready(t, s, a)
	a.reserve(t)

	dial := func(to *labPeer, addr string) (js peer.ID) {
		t.Helper()
		var got dialled
		startJS(t, addHost(t, office, "js"), "dial", addr).Next(t, &got)
		t.Logf("js-libp2p dials %s: %+v", to.host.Name(), got)
		relayed := to == a
		if got.Peer != to.id || got.Limited != relayed || !slices.Contains(got.Protocols, holepunch.Protocol) {
			t.Errorf("want %s, limited: %t, with %s", to.id, relayed, holepunch.Protocol)
		}
		if hidden := simopenAddr.String(); strings.Contains(fmt.Sprint(got.Listen, got.Signed), hidden) {
			t.Errorf("the peer is told of %s", hidden)
		}
		if want := []string{listenAt(server)}; to == s && (!slices.Equal(got.Listen, want) || !slices.Equal(got.Signed, want)) {
			t.Errorf("want the addresses %q", want)
		}
		return got.Self
	}
	s.ping(t, dial(s, listenAt(server)+"/p2p/"+s.id.String()), "direct")

	js := dial(a, l.circuit()+"/p2p/"+a.id.String())
	if o := a.upgrade(t, js); o.Direct || o.Reason != ErrPeerUnsupported {
		t.Errorf("alice has %v; want %q", o, ErrPeerUnsupported)
	}
	a.ping(t, js, "relayed")
}

// TestJSListener: a host with simopen dials peers of js-libp2p, directly and through a relay.
func TestJSListener(t *testing.T) {
	t.Parallel()
	requireJS(t)
	l := newHostLab(t, relayConfig{Limited: true})
	a := l.startPeer(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), peerConfig{})
	server := addHost(t, l.site(t, "server", "public"), "server")
	behind := addHost(t, l.site(t, "office", "eim-apdf-rst"), "js")
	var public, private peer.AddrInfo
	direct, reserved := startJS(t, server, "listen", listenAt(server)), startJS(t, behind, "listen", l.circuit())
	direct.Next(t, &public)
	reserved.Next(t, &private)
	ready(t, a)

	if o := a.connect(t, public); !o.Direct || o.Err != "" {
		t.Errorf("alice has %v with the public peer", o)
	}
	a.ping(t, public.ID, "direct")

	if o := a.connect(t, private); o.Err != "" {
		t.Fatalf("alice cannot connect through the relay: %s", o.Err)
	}
	if o := a.finished(t, private.ID); o.Direct || o.Reason != ErrPeerUnsupported {
		t.Errorf("by itself alice has got %v; want %q", o, ErrPeerUnsupported)
	}
	if o := a.upgrade(t, private.ID); o.Direct || o.Reason != ErrPeerUnsupported {
		t.Errorf("asked to, alice has got %v; want %q", o, ErrPeerUnsupported)
	}
	a.ping(t, private.ID, "relayed")
}
