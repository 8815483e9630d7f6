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
	other := l.startPeer(t, addHost(t, l.site(t, "another", "kernel-drop-firewall"), "another"), peerConfig{NoLimits: true})
	ready(t, other)
	for _, p := range peers {
		ready(t, p)
		p.join(t)
	}
	for _, p := range peers {
		p.learn(t)
	}
	for _, pair := range [][2]string{
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
	} {
		t.Run(pair[0]+" and "+pair[1], func(t *testing.T) { wantDirect(t, peers[pair[0]], peers[pair[1]]) })
	}
	t.Run("two that drop", func(t *testing.T) { wantDirect(t, peers["kernel-drop-firewall"], other) })
	t.Run("two without bare SYN", func(t *testing.T) {
		wantReason(t, peers["kernel-nosyn"], peers["kernel-nosyn-firewall"], holepunch.ErrNoBareSYN)
	})
}
