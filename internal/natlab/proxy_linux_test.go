package natlab_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestProxyInLab has the kernel talk to a proxy in place of a peer that is not there.
func TestProxyInLab(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
	at := netip.AddrPortFrom(server.Addr(), 4001)
	go serveRemote(listenOn(t, server, at))
	peer := netip.AddrPortFrom(server.Addr(), 40000)

	connectTo := func(t *testing.T, kind string) net.Conn {
		host := addHost(t, lab, natlab.SiteConfig{Name: kind, NAT: behaviour(t, "eim-apdf-"+kind)})
		dialAndRead(t, host, netip.AddrPortFrom(host.Addr(), 0), at) // passes
		conn, err := connect(host, 0, peer, soon)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	t.Run("proxysilent", func(t *testing.T) {
		conn := connectTo(t, "proxysilent")
		big := make([]byte, 1<<20) // far more than there is room for if nothing is acknowledged
		_ = conn.SetDeadline(time.Now().Add(soon))
		if _, err := conn.Write(big); err != nil {
			t.Errorf("write: %v", err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(big); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %d bytes, %v; want nothing", n, err)
		}
		// It closes its side when we close ours.
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("after a close: %q, %v", b, err)
		}
	})
	t.Run("proxyclose", func(t *testing.T) {
		conn := connectTo(t, "proxyclose")
		_ = conn.SetDeadline(time.Now().Add(soon))
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("read: %q, %v; want the end", b, err)
		}
	})
	t.Run("proxynoise", func(t *testing.T) {
		conn := connectTo(t, "proxynoise")
		_ = conn.SetDeadline(time.Now().Add(soon))
		b := make([]byte, 8)
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != "HTTP/1.1" {
			t.Errorf("read: %q, %v", b, err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Errorf("write: %v", err)
		}
	})
}
