package transport

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A connection that is closed leaves nothing in TIME-WAIT, whichever side closes it, and the same
// ports are punched again at once.
func TestNoTimeWait(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	opts := Enable(servers, WithOnRequestOnly(), WithWarmPorts(1), WithRelayGrace(-1))
	a, b := newPeer(t, opts), newPeer(t, opts)
	connectRelayed(t, relay, a, b)
	for i := range 6 {
		side, closing, other := "initiator", b, a.ID()
		if i%2 == 1 {
			side, closing, other = "responder", a, b.ID()
		}
		if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the responder has the connection", func() bool { return directConn(a, b.ID()) != nil })
		c := directConn(closing, other)
		local, _ := fromMultiaddr(c.LocalMultiaddr())
		remote, _ := fromMultiaddr(c.RemoteMultiaddr())
		if got := tcpStates(t, local, remote); len(got) == 0 { // a socket may be listed twice
			t.Fatalf("%v to %v has no state, want one", local, remote)
		}
		c.Close()
		eventually(t, "both sides have lost it", func() bool {
			return directConn(a, b.ID()) == nil && directConn(b, a.ID()) == nil
		})
		var left []string
		eventually(t, "the kernel has closed it", func() bool {
			left = append(tcpStates(t, local, remote), tcpStates(t, remote, local)...)
			return !slices.ContainsFunc(left, func(state string) bool { return state != timeWait })
		})
		if len(left) > 0 {
			t.Errorf("closed by the %s: %v to %v is in TIME-WAIT", side, local, remote)
		}
	}
}

const timeWait = "06" // TCP_TIME_WAIT in the kernel's include/net/tcp_states.h

// tcpStates returns the states of the sockets of a 4-tuple that the kernel has.
func tcpStates(t *testing.T, local, remote netip.AddrPort) (states []string) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	hex := func(a netip.AddrPort) string {
		ip := a.Addr().As4()
		slices.Reverse(ip[:]) // a little-endian word
		return fmt.Sprintf("%X:%04X", ip, a.Port())
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == hex(local) && f[2] == hex(remote) {
			states = append(states, f[3])
		}
	}
	return states
}
