package page

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	tcpopen "github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

func TestMain(m *testing.M) {
	labtest.Parallel(8)
	labtest.Main(m, map[string]labtest.Role{"open": openRole})
}

// openConfig is for a peer that opens.
type openConfig struct {
	Initiator bool
	Remote    netip.AddrPort
	Window    time.Duration // how long SYNs are sent; 0 for 10 s
}

const peerPort = 4001

// openRole opens a connection to a peer that does the same, and says something over it.
func openRole(c *labtest.Child) error {
	var cfg openConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	var token tcpopen.Token // each side's own: there is no other host in the lab
	receiver := tcpopen.NewReceiver()
	defer receiver.Close()
	port, err := tcpport.OpenNumber(peerPort, receiver.Accept, nil)
	if err != nil {
		return err
	}
	defer port.Close()
	stream := tcpopen.NewStream(tcpopen.StreamConfig{Initiator: cfg.Initiator, Token: token})
	defer stream.Close()
	stream.SetPeerToken(token)
	defer receiver.Expect(token, func(c *net.TCPConn) { stream.Serve(c, true) })()
	if err := c.Emit("ready"); err != nil {
		return err
	}
	var word string
	if err := c.Receive(&word); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(cfg.Window, 10*time.Second))
	defer cancel()
	opening := tcpopen.Open(ctx, tcpopen.Round{
		Ports:     []*tcpport.Port{port},
		Remote:    []tcpopen.Candidate{{Kind: tcpopen.Reflexive, Addr: cfg.Remote}},
		Initiator: cfg.Initiator,
		Receiver:  receiver,
		Serve:     func(c *net.TCPConn) error { return stream.Serve(c, false) },
	})
	defer opening.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { stream.Fail(ctx.Err()) })()
	word = "open"
	if err := talk(stream); err != nil {
		word = err.Error()
	}
	if err := c.Emit(word); err != nil {
		return err
	}
	return c.Receive(&word) // until the parent has heard both
}

// talk says and hears a word thrice.
func talk(c net.Conn) error {
	const word = "hello"
	for range 3 {
		if _, err := io.WriteString(c, word); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, len(word))); err != nil {
			return err
		}
	}
	return nil
}

// A punchConfig describes a punch to capture.
type punchConfig struct {
	a, b     string // NATs
	refusals int    // how many packets b's NAT turns away before b begins
	losses   int    // how many packets at least b's link loses, all at first
	window   time.Duration
	scenario string
	impl     result.Impl
}

// captured collects events, and waits for some.
type captured struct {
	mu     sync.Mutex
	events []natlab.Event
	more   chan struct{} // one waits for others
	stop   []func()
}

func (c *captured) tap(e natlab.Event) {
	c.mu.Lock()
	c.events = append(c.events, e)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default: // already told
	}
}

// all ends the capture.
func (c *captured) all() []natlab.Event {
	for _, stop := range c.stop {
		stop()
	}
	return c.events
}

func (c *captured) soFar() []natlab.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// wait returns when so many packets have met a fate at a site.
func (c *captured) wait(t testing.TB, n int, at *natlab.Site, fates ...natlab.Fate) {
	t.Helper()
	const patience = 30 * time.Second
	for timeout := time.After(patience); ; {
		met := 0
		for _, e := range c.soFar() {
			if e.Site == at && slices.Contains(fates, e.Fate) {
				met++
			}
		}
		if met >= n {
			return
		}
		select {
		case <-c.more:
		case <-timeout:
			t.Fatalf("%d packets of %d were %v in %v", met, n, fates, patience)
		}
	}
}

// capture makes two peers open a connection from both sides, and records the packets.
func capture(t testing.TB, cfg punchConfig) Punch {
	t.Helper()
	lab := labtest.New(t, natlab.Config{})
	seen := &captured{more: make(chan struct{}, 1)}
	a, b := addHost(t, lab, "alice", cfg.a, seen), addHost(t, lab, "bob", cfg.b, seen)
	addr := func(h *natlab.Host) netip.AddrPort { return netip.AddrPortFrom(outerAddr(h), peerPort) }
	peers := []*labtest.Proc{
		labtest.Start(t, a, "open", openConfig{true, addr(b), cfg.window}),
		labtest.Start(t, b, "open", openConfig{false, addr(a), cfg.window}),
	}
	var word string
	for _, p := range peers {
		p.Next(t, &word)
	}
	if cfg.losses > 0 {
		b.Site().SetLoss(1)
	}
	begin := time.Now()
	peers[0].Send(t, "go")
	seen.wait(t, cfg.refusals, b.Site(), natlab.Answered, natlab.Dropped)
	peers[1].Send(t, "go")
	seen.wait(t, cfg.losses, b.Site(), natlab.Lost)
	b.Site().SetLoss(0)

	run := result.Run{Scenario: cfg.scenario, A: cfg.a, B: cfg.b, Impl: cfg.impl, Run: 1, OK: true}
	for _, p := range peers {
		if p.Next(t, &word); word != "open" {
			run.OK, run.Reason = false, word
		}
	}
	run.Millis = millis(time.Since(begin))
	for _, p := range peers {
		p.Kill()
	}
	return Punch{Run: run, A: a, B: b, Events: seen.all()}
}

func addHost(t testing.TB, lab *natlab.Lab, name, nat string, seen *captured) *natlab.Host {
	t.Helper()
	behaviour, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	site, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: behaviour, Delay: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	seen.stop = append(seen.stop, site.Tap(seen.tap))
	h, err := site.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
