package transport

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestFirewall: hosts with public addresses whose kernels filter by the state of connections, or
// let no SYN in that answers their own.
func TestFirewall(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	peers := make(map[string]*labPeer)
	for _, kind := range []string{
		"public", "eim-apdf-rst",
		"kernel-drop-firewall", "kernel-rst-firewall",
		"kernel-nosyn", "kernel-nosyn-firewall", "kernel-accept-nosyn-firewall",
	} {
		peers[kind] = l.startPeer(t, addHost(t, l.site(t, kind, kind), kind), peerConfig{NoLimits: true})
	}
	peers["another"] = l.startPeer(t, addHost(t, l.site(t, "another", "kernel-drop-firewall"), "another"), peerConfig{NoLimits: true})
	for _, p := range peers {
		ready(t, p)
		p.join(t)
	}
	for _, p := range peers {
		p.learn(t)
	}
	pairs := [][2]string{
		// A firewall at one side, at both.
		{"kernel-drop-firewall", "public"},
		{"kernel-rst-firewall", "public"},
		{"kernel-drop-firewall", "eim-apdf-rst"},
		{"kernel-rst-firewall", "eim-apdf-rst"},
		{"kernel-drop-firewall", "kernel-rst-firewall"},
		// No bare SYN at one side.
		{"kernel-nosyn", "eim-apdf-rst"},
		{"kernel-nosyn-firewall", "kernel-drop-firewall"},
		{"kernel-accept-nosyn-firewall", "kernel-rst-firewall"},
		// At both, but one lets strangers in.
		{"kernel-accept-nosyn-firewall", "kernel-nosyn"},
		{"kernel-accept-nosyn-firewall", "kernel-nosyn-firewall"},
		// Two that drop.
		{"kernel-drop-firewall", "another"},
	}
	// First from one side, then from the other. For 10 s, a firewall that has seen a connection end
	// with a RST may refuse the same pair of ports; meanwhile others are used.
	for _, dialler := range []int{0, 1} {
		for _, pair := range pairs {
			a, b := pair[dialler], pair[1-dialler]
			t.Run(a+" to "+b, func(t *testing.T) { wantDirectFrom(t, peers[a], peers[b]) })
		}
	}
	t.Run("two without bare SYN", func(t *testing.T) {
		wantReason(t, peers["kernel-nosyn"], peers["kernel-nosyn-firewall"], holepunch.ErrNoBareSYN)
	})
}
