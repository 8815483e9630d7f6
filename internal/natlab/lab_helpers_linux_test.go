package natlab_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// soon is a limit for what takes milliseconds, on a machine that is busy.
const soon = 20 * time.Second

// addHost makes a site with one host.
func addHost(t *testing.T, lab *natlab.Lab, cfg natlab.SiteConfig) *natlab.Host {
	t.Helper()
	host, err := labtest.AddSite(t, lab, cfg).AddHost(cfg.Name)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func behaviour(t *testing.T, words string) natlab.Behaviour {
	t.Helper()
	b, err := natlab.ParseBehaviour(words)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listen listens on a port of the host's address.
func listen(t *testing.T, h *natlab.Host, port uint16) net.Listener {
	t.Helper()
	return listenOn(t, h, netip.AddrPortFrom(h.Addr(), port))
}

// listenOn listens on one of the host's endpoints.
func listenOn(t *testing.T, h *natlab.Host, at netip.AddrPort) net.Listener {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", at.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect connects from a port of the host, 0 for any.
func connect(h *natlab.Host, port uint16, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	return connectFrom(h, netip.AddrPortFrom(h.Addr(), port), to, timeout)
}

// connectFrom connects from one of the host's endpoints, whatever else uses it.
func connectFrom(h *natlab.Host, from, to netip.AddrPort, timeout time.Duration) (conn net.Conn, err error) {
	d := net.Dialer{
		Timeout:   timeout,
		LocalAddr: net.TCPAddrFromAddrPort(from),
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			})
		},
	}
	d.SetMultipathTCP(false)
	err = h.Do(func() (err error) {
		conn, err = d.Dial("tcp", to.String())
		return err
	})
	return conn, err
}

// openBoth connects two hosts to each other at once, and sees that data passes both ways.
func openBoth(hosts [2]*natlab.Host, local, remote [2]netip.AddrPort, timeout time.Duration) (conns [2]net.Conn, err error) {
	errs := make(chan error, 2)
	for i := range hosts {
		go func() {
			var err error
			conns[i], err = connectFrom(hosts[i], local[i], remote[i], timeout)
			errs <- err
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		return conns, err
	}
	for i, c := range conns {
		_, writeErr := c.Write([]byte{'x'})
		_ = conns[1-i].SetReadDeadline(time.Now().Add(soon))
		_, readErr := io.ReadFull(conns[1-i], make([]byte, 1))
		err = errors.Join(err, writeErr, readErr)
	}
	return conns, err
}

// serveRemote sends to each that connects the address it has come from.
func serveRemote(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, conn.RemoteAddr())
		conn.Close()
	}
}

// dialAndRead connects from an endpoint of the host to a serveRemote, and returns what that sees.
func dialAndRead(t *testing.T, h *natlab.Host, from, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	conn, err := connectFrom(h, from, to, soon)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := netip.ParseAddrPort(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}
