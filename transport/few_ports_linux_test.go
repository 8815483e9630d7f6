package transport

import (
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// TestFewPorts: NATs that have 16 external ports, used at random or one after the other, up or
// down.
func TestFewPorts(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	for _, nats := range [][2]string{
		{"apdm-apdf-overload-blocks16", "eim-apdf"},
		{"apdm-apdf-rst-overload-blocks16", "eim-apdf-rst"},
		{"apdm-apdf-descending-blocks16", "eim-apdf"},
		{"apdm-apdf-rst-sequential-blocks16", "eim-apdf-rst"},
		{"eim-apdf-blocks16", "eim-apdf-rst"},
	} {
		t.Run(nats[0]+" and "+nats[1], func(t *testing.T) {
			t.Parallel()
			a, b := l.newLearnedPair(t, nats[0], nats[1])
			wantDirect(t, a, b)
		})
	}
}

// TestSYNLimit: routers that refuse some SYNs and say nothing to others, with peers that start at
// different times: the relay is far.
func TestSYNLimit(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	for _, nats := range [][2]string{
		{"eim-apdf-rst-synlimit", "eim-apdf-rst-synlimit"},
		{"eim-apdf-icmp-synlimit", "eim-apdf-rst"},
		{"eim-apdf-rst-synlimit", "eim-apdf"},
	} {
		name := nats[0] + " and " + nats[1]
		sites := [2]*natlab.Site{l.site(t, name, nats[0]), l.site(t, name, nats[1])}
		for _, s := range sites {
			l.SetExtraDelay(s, l.relaySite, 100*time.Millisecond)
		}
		a, b := l.newPair(t, addHost(t, sites[0], "alice"), addHost(t, sites[1], "bob"), peerConfig{})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantDirect(t, a, b)
		})
	}
}
