package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

// start starts a relay on loopback, and returns it with its address.
func start(t *testing.T, args ...string) (*program.Process, peer.AddrInfo) {
	t.Helper()
	p := program.Start(t, exec.Command(program.Self(t), append([]string{"-listen", "/ip4/127.0.0.1/tcp/0"}, args...)...))
	flags := strings.Fields(p.Line("-relay "))
	info, err := peer.AddrInfoFromString(flags[1])
	if err != nil {
		t.Fatal(err)
	}
	return p, *info
}

func newHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func reserve(t *testing.T, h host.Host, relay peer.AddrInfo) error {
	t.Helper()
	_, err := client.Reserve(t.Context(), h, relay)
	return err
}

// dial connects to a peer through the relay.
func dial(t *testing.T, h host.Host, relay peer.AddrInfo, id peer.ID) error {
	t.Helper()
	through := relay.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + relay.ID.String() + "/p2p-circuit"))
	return h.Connect(network.WithAllowLimitedConn(t.Context(), "test"), peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{through}})
}

func TestServe(t *testing.T) {
	p, relay := start(t, "-stun", "127.0.0.1:0", "-metrics", "127.0.0.1:0", "-status", "20ms")
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.Line("metrics"))
	a, b := newHost(t), newHost(t)
	if err := reserve(t, a, relay); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, b, relay, a.ID()); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, a, relay, b.ID()); err != nil { // which are connected already
		t.Fatal(err)
	}
	stranger := newHost(t)
	if err := dial(t, a, relay, stranger.ID()); err == nil {
		t.Error("connected to somebody without a reservation")
	}
	status := p.Line("refused 0 reservations and 1 circuits")
	if !regexp.MustCompile(`^status    up \d+s: 2 connections, 1 reservations, 1 circuits, \d+\.\d KiB relayed, .*; STUN: 0 connections open, `).MatchString(status) {
		t.Errorf("status: %s", status)
	}
	page := program.Get(t, url+"/metrics")
	for _, want := range []string{
		"\nlibp2p_relaysvc_status 1\n",
		"\nlibp2p_relaysvc_reservations_total{type=\"opened\"} 1\n",
		"\nlibp2p_relaysvc_connections_total{type=\"opened\"} 1\n",
		"\nlibp2p_relaysvc_connection_rejections_total{reason=\"no reservation\"} 1\n",
		"\nlibp2p_swarm_connections_opened_total{",
		"\nlibp2p_rcmgr_connections{dir=\"inbound\",scope=\"system\"} 2\n",
		"\nsimopen_stun_open_connections 0\n",
		"\nprocess_open_fds ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	p.Interrupt() // while both are connected
	r := p.Wait()
	if r.Status != 0 || r.Stderr != "" {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	if want := regexp.MustCompile(`\nstopping  .*\nstopped   up \d+s: 2 connections, 1 reservations, 1 circuits, .*\n$`); !want.MatchString(r.Stdout) {
		t.Errorf("it does not say that it ends")
	}
}

func TestWithoutSTUN(t *testing.T) {
	p := program.Start(t, exec.Command(program.Self(t), "-listen", "/ip4/127.0.0.1/tcp/0", "-stun", "off"))
	p.Line("STUN      off")
	if flags := p.Line("-relay "); strings.Contains(flags, "-stun") {
		t.Errorf("flags for peers: %s", flags)
	}
	p.Interrupt()
	r := p.Wait()
	if r.Status != 0 || r.Stderr != "" || strings.Contains(r.Stdout, "STUN:") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
}

func TestAllow(t *testing.T) {
	a, b, stranger := newHost(t), newHost(t), newHost(t)
	_, relay := start(t, "-stun", "off", "-allow", a.ID().String()+","+b.ID().String())
	for _, h := range []host.Host{a, b} {
		if err := reserve(t, h, relay); err != nil {
			t.Fatal(err)
		}
	}
	if err := reserve(t, stranger, relay); err == nil {
		t.Error("a stranger has a reservation")
	}
	if err := dial(t, stranger, relay, a.ID()); err == nil {
		t.Error("a stranger is connected")
	}
	if err := dial(t, b, relay, a.ID()); err != nil {
		t.Error(err)
	}
}

// The relay's limits are those of the flags, and the host's leave room for them.
func TestLimits(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		_, relay := start(t, "-stun", "off")
		for range 20 { // go-libp2p's own: 8 reservations of one address
			if err := reserve(t, newHost(t), relay); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("flags", func(t *testing.T) {
		_, relay := start(t, "-stun", "off", "-reservations", "2", "-data", "1", "-duration", "7s")
		a, b := newHost(t), newHost(t)
		for _, h := range []host.Host{a, b} {
			if err := reserve(t, h, relay); err != nil {
				t.Fatal(err)
			}
		}
		if err := reserve(t, newHost(t), relay); err == nil {
			t.Error("a third reservation")
		}
		r, err := client.Reserve(t.Context(), a, relay)
		if err != nil {
			t.Fatal(err)
		}
		if r.LimitDuration.Seconds() != 7 || r.LimitData != 1024 {
			t.Errorf("limits %v and %d bytes", r.LimitDuration, r.LimitData)
		}
	})
	t.Run("of a provider", func(t *testing.T) {
		for want, args := range map[int][]string{
			60_000: {"-reservations", "60000"},
			500:    {"-reservations-per-asn", "500", "-reservations", "60000"},
		} {
			if got := parse(args).server.Limits.Relay.MaxReservationsPerASN; got != want {
				t.Errorf("%v: %d, want %d", args, got, want)
			}
		}
	})
	t.Run("none", func(t *testing.T) {
		p, relay := start(t, "-stun", "off", "-unlimited")
		r, err := client.Reserve(t.Context(), newHost(t), relay)
		if err != nil {
			t.Fatal(err)
		}
		if r.LimitDuration != 0 || r.LimitData != 0 {
			t.Errorf("limits %v and %d bytes", r.LimitDuration, r.LimitData)
		}
		p.Interrupt()
		if r := p.Wait(); !strings.Contains(r.Stdout, "none for a relayed connection") {
			t.Errorf("it says nothing of that")
		}
	})
}

// Peers get the announced address, from the relay and from what it prints.
func TestAnnounce(t *testing.T) {
	p := program.Start(t, exec.Command(program.Self(t), "-listen", "/ip4/127.0.0.1/tcp/0", "-stun", "127.0.0.1:0",
		"-announce", "/ip4/203.0.113.7/tcp/4001", "-announce", "/dns/relay.example.org/tcp/4001"))
	id := strings.Fields(p.Line("relay     "))[1]
	stun := p.Line("STUN      127.0.0.1:")
	_, port, _ := strings.Cut(strings.TrimSuffix(stun, ", over TCP"), "127.0.0.1:")
	for _, host := range []string{"203.0.113.7", "relay.example.org"} {
		protocol := "ip4"
		if host != "203.0.113.7" {
			protocol = "dns"
		}
		want := "  -relay /" + protocol + "/" + host + "/tcp/4001/p2p/" + id + " -stun " + host + ":" + port
		if got := p.Line("-relay "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	p.Interrupt()
	if r := p.Wait(); strings.Contains(r.Stdout, "-relay /ip4/127.0.0.1") || strings.Contains(r.Stdout, "None of them is public") {
		t.Errorf("said:\n%s", r.Stdout)
	}
}

// QUIC can be had beside TCP.
func TestListenAtQUIC(t *testing.T) {
	p := program.Start(t, exec.Command(program.Self(t), "-listen", "/ip4/127.0.0.1/tcp/0", "-listen", "/ip4/127.0.0.1/udp/0/quic-v1", "-stun", "off"))
	for _, transport := range []string{"/tcp/", "/udp/"} {
		if line := p.Line("-relay "); !strings.Contains(line, transport) {
			t.Errorf("%q, want one with %s", line, transport)
		}
	}
}
