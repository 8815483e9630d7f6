package page

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

func TestMain(m *testing.M) {
	labtest.Main(m, map[string]labtest.Role{"open": openRole})
}

// openConfig is for a peer that opens.
type openConfig struct {
	Initiator bool
	Remote    netip.AddrPort
	Wait      time.Duration // beforehand
	Window    time.Duration // how long SYNs are sent
}

const peerPort = 4001

// openRole opens a connection to a peer that does the same, and says something over it.
func openRole(c *labtest.Child) error {
	var cfg openConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	port, err := tcpport.OpenNumber(peerPort)
	if err != nil {
		return err
	}
	defer port.Close()
	expect := port.Expect()
	defer expect.Close()
	expect.From([]netip.AddrPort{cfg.Remote})
	if err := c.Emit("ready"); err != nil {
		return err
	}
	var word string
	if err := c.Receive(&word); err != nil {
		return err
	}
	time.Sleep(cfg.Wait)

	punch := holepunch.Punch{Port: port, Expect: expect, Remote: holepunch.Reflexive(cfg.Remote), Window: cfg.Window}
	if cfg.Initiator {
		_, err = holepunch.Open(context.Background(), punch, talk)
	} else {
		err = holepunch.Serve(context.Background(), punch, talk, func(net.Conn) {})
	}
	word = "open"
	if err != nil {
		word = err.Error()
	}
	if err := c.Emit(word); err != nil {
		return err
	}
	return c.Receive(&word) // until the parent has heard both
}

// talk says and hears a word thrice.
func talk(_ context.Context, c *holepunch.Conn) (net.Conn, error) {
	const word = "hello"
	for range 3 {
		if _, err := io.WriteString(c, word); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, make([]byte, len(word))); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// trial is a punch to capture.
type trial struct {
	a, b     string // NATs
	bWaits   time.Duration
	loss     float64
	window   time.Duration
	scenario string
	impl     result.Impl
}

// capture has two peers open a connection from both sides, and keeps what was seen.
func capture(t testing.TB, tr trial) Punch {
	t.Helper()
	lab := labtest.New(t, natlab.Config{})
	var mu sync.Mutex
	var events []natlab.Event
	host := func(name, nat string) *natlab.Host {
		b, err := natlab.ParseBehaviour(nat)
		if err != nil {
			t.Fatal(err)
		}
		site, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: 20 * time.Millisecond, Loss: tr.loss})
		if err != nil {
			t.Fatal(err)
		}
		site.Tap(func(e natlab.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		})
		h, err := site.AddHost(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b := host("alice", tr.a), host("bob", tr.b)
	addr := func(h *natlab.Host) netip.AddrPort { return netip.AddrPortFrom(outerAddr(h), peerPort) }
	peers := []*labtest.Proc{
		labtest.Start(t, a, "open", openConfig{true, addr(b), 0, tr.window}),
		labtest.Start(t, b, "open", openConfig{false, addr(a), tr.bWaits, tr.window}),
	}
	var word string
	for _, p := range peers {
		p.Next(t, &word)
	}
	begin := time.Now()
	for _, p := range peers {
		p.Send(t, "go")
	}
	run := result.Run{Scenario: tr.scenario, A: tr.a, B: tr.b, Impl: tr.impl, Run: 1, OK: true}
	for _, p := range peers {
		if p.Next(t, &word); word != "open" {
			run.OK, run.Reason = false, word
		}
	}
	run.Millis = millis(time.Since(begin))
	for _, p := range peers {
		p.Kill()
	}
	mu.Lock()
	defer mu.Unlock()
	return Punch{Run: run, A: a, B: b, Events: events}
}
