package natlab_test

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestTunnel: marked sockets use the host's interface, and others end in the tunnel.
func TestTunnel(t *testing.T) {
	t.Parallel()
	const mark = 7
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server", IPv6: true})
	client := addHost(t, lab, natlab.SiteConfig{Name: "client", IPv6: true})
	tunnel, err := client.Tunnel(mark)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	for _, server := range []netip.Addr{server.Addr(), server.Addr6()} {
		for _, marked := range []bool{true, false} {
			d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) {
					if marked {
						err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
					}
				})
			}}
			var c net.Conn
			dialErr := client.Do(func() (err error) {
				c, err = d.Dial("udp", netip.AddrPortFrom(server, 9).String())
				return err
			})
			if dialErr != nil || err != nil {
				t.Fatal(dialErr, err)
			}
			defer c.Close()
			from := netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
			if own := from == client.Addr() || from == client.Addr6(); own != marked {
				t.Errorf("marked: %v, sends from %v", marked, from)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for pkt := make([]byte, 2000); ; {
			tunnel.SetReadDeadline(time.Now().Add(soon))
			n, err := tunnel.Read(pkt)
			if err != nil {
				t.Fatal(err)
			}
			p, err := natlab.Parse(pkt[:n])
			if err == nil && p.UDP() {
				if p.Dst() != netip.AddrPortFrom(server, 9) || p.Src().Addr() == client.Addr() || p.Src().Addr() == client.Addr6() {
					t.Errorf("the tunnel has %v", p)
				}
				break
			}
		}
	}
}
