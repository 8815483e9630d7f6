package transport

import (
	"fmt"
	"testing"
	"time"
)

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

// TestRefusedByICMP: a NAT refuses the responder's first SYN by ICMP, and the initiator's SYN comes
// before the second. The responder's kernel accepts that one, but its router, a Linux kernel, has
// not seen the first connection end: it takes the SYN+ACK of the second for invalid, and sends it on
// untranslated. That 4-tuple is lost, for two minutes.
func TestRefusedByICMP(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-apdf-icmp"), l.site(t, "office", "kernel-drop")
	l.SetExtraDelay(office, home, 3*time.Millisecond) // the refusal meets the initiator's SYN
	for i := range 4 {
		a := l.startPeer(t, addHost(t, home, fmt.Sprint("alice", i)), peerConfig{NoLimits: true})
		b := l.startPeer(t, addHost(t, office, fmt.Sprint("bob", i)), peerConfig{NoLimits: true})
		ready(t, a, b)
		d, r := punch(t, a, b)
		if !d.Direct || !r.Direct {
			t.Errorf("the dialler has %v\nthe listener has %v", d, r)
			logSteps(t, a, b)
		}
		t.Log(d)
	}
}
