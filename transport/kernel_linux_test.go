package transport

import "testing"

// TestPunchOnBridge: two Linux routers, a relay and a STUN server on one bridge, with no delay. The
// routers drop a SYN that comes too early.
func TestPunchOnBridge(t *testing.T) {
	t.Parallel()
	l := newBridgedLab(t, relayConfig{})
	a := l.startPeer(t, addHost(t, l.site(t, "home", "kernel-drop"), "alice"), peerConfig{})
	b := l.startPeer(t, addHost(t, l.site(t, "office", "kernel-drop"), "bob"), peerConfig{})
	ready(t, a, b)
	for range 4 {
		d, r := punch(t, a, b)
		if !d.Direct || d.Direction != "Outbound" || r.Direction != "Inbound" {
			t.Errorf("the dialler has %v\nthe listener has %v", d, r)
			logSteps(t, a, b)
		}
		t.Log(d)
		a.leave(t)
		b.leave(t)
		a, b = b, a
	}
}
