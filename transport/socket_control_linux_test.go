package transport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// vpnMark is what a VPN program marks its own sockets with.
const vpnMark = 0x51

func init() {
	// The connection to the relay is of the host's own transport.
	hostOptions["TCP alone, marked"] = option(libp2p.Transport(tcp.NewTCPTransport, tcp.WithDialerForAddr(
		func(ma.Multiaddr) (tcp.ContextDialer, error) { return &net.Dialer{Control: markSocket}, nil })))
}

func markSocket(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, vpnMark)
	})
	if controlErr != nil {
		return controlErr
	}
	return os.NewSyscallError("setsockopt", err)
}

// unmarkedTimeout is for attempts whose packets all end in the tunnel.
const unmarkedTimeout = time.Second

// A tunnelled is a host that runs a VPN: what sockets without the mark send ends in the tunnel.
type tunnelled struct {
	*natlab.Host
	mu     sync.Mutex
	leaked []string // TCP and UDP packets, but for RSTs, which the kernel sends without a socket
}

func newTunnelled(t *testing.T, h *natlab.Host) *tunnelled {
	t.Helper()
	tunnel, err := h.Tunnel(vpnMark)
	if err != nil {
		t.Fatal(err)
	}
	v := &tunnelled{Host: h}
	var reading sync.WaitGroup
	reading.Go(func() {
		for b := make([]byte, 1500); ; {
			n, err := tunnel.Read(b)
			if err != nil {
				return
			}
			if p, err := natlab.Parse(b[:n]); err == nil && (p.UDP() || p.TCP() && p.Flags()&natlab.RST == 0) {
				v.mu.Lock()
				v.leaked = append(v.leaked, p.String())
				v.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		tunnel.Close()
		reading.Wait()
	})
	return v
}

func (v *tunnelled) leaks() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leaked
}

// TestSocketControl: in a host with a VPN, no socket of the transport's sends into the tunnel.
// Those are of the warm ports and their observers, of the search for the NAT's behaviour over TCP
// and UDP, of fresh ports, of connects, of listeners, and those with which ports are guessed.
func TestSocketControl(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		relay      relayConfig
		nats       [2]string
		cfg        peerConfig
		maybe      bool // it need not become direct
		unmarked   bool // the transport does not mark its sockets
		forwarding bool // the peer has an ordinary listener, and no NAT that allows a punch
	}{
		"STUN server":     {nats: [2]string{"eim-apdf", "eim-apdf-rst"}},
		"relay observes":  {relay: relayConfig{NoSTUN: true}, nats: [2]string{"eim-apdf", "eim-apdf-rst"}},
		"accepts alone":   {nats: [2]string{"apdm-eif-random", "eim-apdf-rst"}},
		"ports predicted": {nats: [2]string{"apdm-apdf-sequential", "apdm-apdf-overload"}},
		"ports guessed":   {nats: [2]string{"apdm-apdf-random", "eim-apdf"}, cfg: peerConfig{Guess: true}, maybe: true},
		"peer listens":    {nats: [2]string{"apdm-apdf-random", "apdm-apdf-random"}, forwarding: true},
		"not marked":      {nats: [2]string{"eim-apdf", "eim-apdf-rst"}, unmarked: true, maybe: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, tc.relay)
			alice := newTunnelled(t, addHost(t, l.site(t, "home", tc.nats[0]), "alice"))
			cfg := tc.cfg
			cfg.Options = []string{"TCP alone, marked"}
			if cfg.Marked = !tc.unmarked; tc.unmarked {
				cfg.Timeout = unmarkedTimeout
			}
			a := l.startPeer(t, alice.Host, cfg)
			office := l.site(t, "office", tc.nats[1])
			bob := addHost(t, office, "bob")
			cfg = tc.cfg
			if tc.forwarding {
				if err := office.Forward(forwarded, netip.AddrPortFrom(bob.Addr(), listening)); err != nil {
					t.Fatal(err)
				}
				cfg.Listen = []string{fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", listening)}
				cfg.Announce = []string{fmt.Sprintf("/ip4/%s/tcp/%d", office.External(), forwarded)}
			}
			b := l.startPeer(t, bob, cfg)
			ready(t, a, b)
			a.join(t)
			b.join(t)
			if !tc.relay.NoSTUN && !tc.unmarked {
				a.learn(t)
				b.learn(t)
			}
			for _, d := range [][2]*labPeer{{a, b}, {b, a}} {
				o, _ := punch(t, d[0], d[1])
				if t.Log(o); !o.Direct && !tc.maybe {
					t.Error("want a direct connection")
					logSteps(t, a, b)
				}
				d[0].look(t, d[1], false) // until both attempts have ended
				d[1].look(t, d[0], false)
				d[0].forget(t, d[1])
				d[1].forget(t, d[0])
			}
			if leaks := alice.leaks(); len(leaks) > 0 != tc.unmarked {
				t.Errorf("into the tunnel went %q", leaks)
			}
		})
	}
}
