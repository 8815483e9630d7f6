package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// A labStage is a stage in a lab: a public relay and two homes.
type labStage struct {
	*stage
	sites map[place]*natlab.Site
	hosts map[place]*natlab.Host
}

// newLabStage makes a lab with two kinds of NAT, joined by a bridge if their kernels translate.
func newLabStage(t testing.TB, exes exes, cfg natlab.Config, homeNAT, awayNAT string) *labStage {
	t.Helper()
	lab := labtest.New(t, cfg)
	s := &labStage{sites: make(map[place]*natlab.Site), hosts: make(map[place]*natlab.Host)}
	for _, p := range []struct {
		place
		name, nat string
		delay     time.Duration
	}{{inPublic, "relay", "public", 5 * time.Millisecond}, {atHome, "home", homeNAT, 10 * time.Millisecond}, {away, "away", awayNAT, 10 * time.Millisecond}} {
		nat, err := natlab.ParseBehaviour(p.nat)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Bridge {
			p.delay = 0
		}
		s.sites[p.place] = labtest.AddSite(t, lab, natlab.SiteConfig{Name: p.name, NAT: nat, Delay: p.delay})
		if s.hosts[p.place], err = s.sites[p.place].AddHost(p.name); err != nil {
			t.Fatal(err)
		}
	}
	start := func(t testing.TB, where place, cmd *exec.Cmd) *program.Process {
		return program.StartIn(t, s.hosts[where], cmd)
	}
	ip := s.hosts[inPublic].Addr()
	s.stage = newStage(t, exes, start, "-listen", fmt.Sprintf("/ip4/%s/tcp/4001", ip), "-stun", fmt.Sprintf("%s:3478", ip))
	return s
}

// listen listens in a host.
func (s *labStage) listen(t testing.TB, where place) (l net.Listener) {
	t.Helper()
	err := s.hosts[where].Do(func() (err error) {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects from a host.
func (s *labStage) dial(where place) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = s.hosts[where].Do(func() (err error) {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
}

// client returns an HTTP client in a host, with a connection for each request.
func (s *labStage) client(where place) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.dial(where), DisableKeepAlives: true}}
}

// serveWeb serves the page at home.
func (s *labStage) serveWeb(t *testing.T) (addr string) {
	t.Helper()
	l := s.listen(t, atHome)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) })}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestLab(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exes := build(t)
	t.Run("ssh", func(t *testing.T) { t.Parallel(); testSSH(t, exes) })
	t.Run("transfer", func(t *testing.T) { t.Parallel(); testTransfer(t, exes) })
	t.Run("faults", func(t *testing.T) { t.Parallel(); testFaults(t, exes) })
	t.Run("no direct connection", func(t *testing.T) { t.Parallel(); testNoDirect(t, exes) })
}

// testNoDirect: where no direct connection is possible, clients are refused with the reason, or go
// over the relay if that was asked for.

func testNoDirect(t *testing.T, exes exes) {
	s := newLabStage(t, exes, natlab.Config{}, "apdm-apdf-random", "apdm-apdf-random")
	s.startRelay(t)
	server, id := s.startServe(t, "-to", s.serveWeb(t))
	refusing, local := s.startDial(t, id)
	if r, err := s.client(away).Get("http://" + local); err == nil {
		t.Errorf("got %s over the relay", r.Status)
		r.Body.Close()
	}
	refusing.Line("refused a connection from 127.0.0.1:")
	server.Line("no direct connection: ")
	refusing.Interrupt()
	refusing.Wait()

	relayed, local := s.startDial(t, id, "-relayed")
	if got := get(t, s.client(away), local); got != page {
		t.Errorf("got %q", got)
	}
	relayed.Line("connections go over the relay, as long as it allows: ")
	server.Line("over the relay")
}
