package natlab_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestKernelAfterReset: what Linux remembers of a connection that was reset, for 10 s. A host
// behind it has ended that by its own RST: the next SYN begins anew. The other end has: SYNs still
// go out, but its SYN is invalid on this 4-tuple, and is refused as a stranger's.
//
// (nf_conntrack_tcp_packet reopens an entry in the state CLOSE for a SYN only if the last RST went
// the same way. An entry that has seen no reply is removed by a RST at once.)
func TestKernelAfterReset(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel-rst")})
	other := addHost(t, lab, natlab.SiteConfig{Name: "other"})
	lost := make(chan struct{}, 100)
	home.Site().Tap(func(e natlab.Event) {
		if p, err := natlab.Parse(e.Packet); err == nil && p.Flags() == natlab.SYN && e.Fate == natlab.Lost {
			lost <- struct{}{}
		}
	})
	// open has both connect. The home's SYN passes its NAT, and is lost after that.
	open := func() (conns [2]net.Conn, err error) {
		from, to := netip.AddrPortFrom(home.Addr(), 4001), netip.AddrPortFrom(other.Addr(), 4001)
		done := make(chan struct{})
		home.Site().SetLoss(1)
		go func() {
			defer close(done)
			conns[0], _ = connectFrom(home, from, to, soon) // it is up if the other is
		}()
		<-lost
		home.Site().SetLoss(0)
		conns[1], err = connectFrom(other, to, netip.AddrPortFrom(home.Site().External(), 4001), soon)
		<-done
		return conns, err
	}
	for _, resetter := range []int{0, 1} {
		conns, err := open()
		if err != nil || conns[0] == nil {
			t.Fatalf("before the RST of %d: %v, %v", resetter, conns, err)
		}
		for _, c := range conns {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		conns[resetter].Close()
		_, _ = io.ReadAll(conns[1-resetter]) // until the RST is there
		conns[1-resetter].Close()
	}
	if _, err := open(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the other end's RST: got %v, want a refusal", err)
	}
}

// TestKernelCollision: of two hosts that connect from one port to one endpoint, the second has
// another external port. While that connection lasts, it has that port towards others as well.
func TestKernelCollision(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		l, other := listen(t, server, 80), netip.AddrPortFrom(server.Addr(), 81)
		go serveRemote(listen(t, server, 81))
		first := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel")})
		second, err := first.Site().AddHost("second")
		if err != nil {
			t.Fatal(err)
		}
		var seen [2]netip.AddrPort
		for i, h := range []*natlab.Host{first, second} {
			conn, err := connect(h, 4001, netip.AddrPortFrom(server.Addr(), 80), soon)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			seen[i] = accepted.RemoteAddr().(*net.TCPAddr).AddrPort()
		}
		if seen[0].Port() != 4001 || seen[1].Port() == 4001 {
			t.Errorf("the server sees %v, want port 4001 once", seen)
		}
		if again := dialAndRead(t, second, netip.AddrPortFrom(second.Addr(), 4001), other); again != seen[1] {
			t.Errorf("another server sees %v, want %v", again, seen[1])
		}
	})
}
