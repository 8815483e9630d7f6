package natlab_test

import (
	"bytes"
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

// TestMTU has only small packets pass, in both directions. The hosts notice nothing, and full
// segments arrive once the link carries them.
func TestMTU(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	a := addHost(t, lab, natlab.SiteConfig{Name: "a", MTU: 576})
	b := addHost(t, lab, natlab.SiteConfig{Name: "b", NAT: behaviour(t, "eim-apdf")})
	l := listen(t, a, 80)
	client, err := connect(b, 0, netip.AddrPortFrom(a.Addr(), 80), soon)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	for _, dir := range []struct {
		name     string
		from, to io.ReadWriter
	}{{"down", client, server}, {"up", server, client}} {
		small, big := bytes.Repeat([]byte{1}, 500), bytes.Repeat([]byte{2}, 1400)
		if _, err := dir.from.Write(small); err != nil {
			t.Fatal(err)
		}
		deadline := func(d time.Duration) {
			_ = client.SetReadDeadline(time.Now().Add(d))
			_ = server.SetReadDeadline(time.Now().Add(d))
		}
		deadline(soon)
		if _, err := io.ReadFull(dir.to, make([]byte, len(small))); err != nil {
			t.Fatalf("%s, small: %v", dir.name, err)
		}
		if _, err := dir.from.Write(big); err != nil {
			t.Fatal(err)
		}
		deadline(300 * time.Millisecond)
		if n, err := dir.to.Read(make([]byte, len(big))); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s, big: %d bytes, %v; want nothing", dir.name, n, err)
		}
		a.Site().SetMTU(0)
		deadline(soon)
		if _, err := io.ReadFull(dir.to, make([]byte, len(big))); err != nil {
			t.Errorf("%s, big, after a wider link: %v", dir.name, err)
		}
		a.Site().SetMTU(576)
	}
}

// TestPathMTU has only small packets pass from one site to another, and long ones the other way.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, natlab.Config{})
	a := addHost(t, lab, natlab.SiteConfig{Name: "a"})
	b := addHost(t, lab, natlab.SiteConfig{Name: "b"})
	lab.SetMTU(b.Site(), a.Site(), 576)
	l := listen(t, a, 80)
	client, err := connect(b, 0, netip.AddrPortFrom(a.Addr(), 80), soon)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	big := make([]byte, 1400)
	for name, dir := range map[string]struct {
		from, to net.Conn
		passes   bool
	}{"wide": {server, client, true}, "narrow": {client, server, false}} {
		if _, err := dir.from.Write(big); err != nil {
			t.Fatal(err)
		}
		wait := soon
		if !dir.passes {
			wait = 300 * time.Millisecond
		}
		_ = dir.to.SetReadDeadline(time.Now().Add(wait))
		if _, err := io.ReadFull(dir.to, make([]byte, len(big))); (err == nil) != dir.passes {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
