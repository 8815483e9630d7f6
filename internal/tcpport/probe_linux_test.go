package tcpport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// TestConnectFromRefused: a RST and an ICMP error are distinguished, although they have the same
// error number.
func TestConnectFromRefused(t *testing.T) {
	for words, icmp := range map[string]bool{"eim-apdf-rst": false, "eim-apdf-icmp": true} {
		t.Run(words, func(t *testing.T) {
			lab := labtest.New(t, natlab.Config{})
			b, err := natlab.ParseBehaviour(words)
			if err != nil {
				t.Fatal(err)
			}
			public, err := lab.AddSite(natlab.SiteConfig{Name: "public"})
			if err != nil {
				t.Fatal(err)
			}
			home, err := lab.AddSite(natlab.SiteConfig{Name: "home", NAT: b})
			if err != nil {
				t.Fatal(err)
			}
			host, err := public.AddHost("host")
			if err != nil {
				t.Fatal(err)
			}
			err = host.Do(func() error {
				_, err := ConnectFrom(t.Context(), host.Addr(), netip.AddrPortFrom(home.External(), 4001))
				return err
			})
			if errors.Is(err, ErrReset) == icmp || errors.Is(err, ErrICMP) != icmp {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestConnectFromDeadline: the kernel knows the deadline, too.
func TestConnectFromDeadline(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := ConnectFrom(ctx, loopback, l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	if err := raw.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || ms <= 0 || ms > 60_000 {
		t.Errorf("the kernel gives up after %d ms, %v, want a minute at most", ms, err)
	}
}

func TestConnectFrom(t *testing.T) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := netip.MustParseAddr("127.0.0.2")
	c, err := ConnectFrom(t.Context(), from, l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer Reset(c)
	if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
		t.Errorf("connected from %v, want %v", got, from)
	}
}

// TestSilentPort opens from a silent port to a port of ours that has begun to
// connect to it. Had the silent port heard that SYN, connection or refusal would
// have come before.
func TestSilentPort(t *testing.T) {
	for _, ip := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(ip.String(), func(t *testing.T) { testSilentPort(t, ip) })
	}
}

func testSilentPort(t *testing.T, ip netip.Addr) {
	s, err := ListenSilent(ip)
	if errors.Is(err, unix.EADDRNOTAVAIL) && ip.Is6() {
		t.Logf("no IPv6 here: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	syn, err := p.Begin(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer syn.Close()
	state, err := unix.GetsockoptTCPInfo(int(syn.(*os.File).Fd()), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || state.State != unix.BPF_TCP_SYN_SENT {
		t.Errorf("state %v, %v, want SYN-SENT", state, err)
	}
	c, err := s.Connect(t.Context(), netip.AddrPortFrom(ip, p.Number()))
	if err != nil {
		t.Fatal(err)
	}
	Reset(c)
}

// TestSilentPortHearsNoSYN connects both ways at once from silent ports: each
// hears nothing but a SYN.
func TestSilentPortHearsNoSYN(t *testing.T) {
	a, err := ListenSilent(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := ListenSilent(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := a.Connect(ctx, b.addr)
		first <- err
	}()
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if _, err := b.Connect(short, a.addr); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("error is %v, want none to answer", err)
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("connected")
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
