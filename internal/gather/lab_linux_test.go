package gather

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["serve"] = serveRole
	roles["gather"] = gatherRole
}

// serveRole is a STUN server at some addresses.
func serveRole(c *labtest.Child) error {
	var at []netip.AddrPort
	if err := c.Config(&at); err != nil {
		return err
	}
	s := stun.NewServer(nil)
	for _, a := range at {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			return err
		}
		go s.Serve(l)
	}
	if err := c.Emit("serving"); err != nil {
		return err
	}
	if err := c.UntilEnd(); err != nil {
		return err
	}
	return s.Close()
}

// A gathered is what a host knows at one time.
type gathered struct {
	Addrs []netip.AddrPort // of its candidates
	Asked int32            // how often it has asked an observer
	Seen  netip.AddrPort   // of "connect"
	Err   string
}

// A command is what the parent of a host asks for.
type command struct {
	Do string // "gather", "gather others" than the last time, "connect" as to a peer, or "hold" what
	// was gathered for that
	To netip.AddrPort // of "connect"
}

type gatherConfig struct {
	Servers []string
	Quick   bool // quickTimings
}

// quickTimings are for tests of what takes time. TCP counts seconds. With a longer networkCheck a
// process that gets no processor for a while does not take itself for one that was suspended.
var quickTimings = timings{networkCheck: 3 * time.Second, keepAlive: 3 * time.Second, minKeepAlive: time.Second}

// gatherRole keeps ports warm. It emits what it knows for each command.
func gatherRole(c *labtest.Child) error {
	var cfg gatherConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	var asked atomic.Int32
	found := make(chan struct{})
	isFound := sync.OnceFunc(func() { close(found) })
	g := New(Config{
		Servers: cfg.Servers, Ports: 2,
		OnAsked: func(Observer, bool, error) { asked.Add(1) },
		OnBehaviour: func(_ stun.Behaviour, err error) {
			if err == nil {
				isFound()
			}
		},
	})
	defer g.Close()
	if cfg.Quick {
		g.setTimings(quickTimings)
	}
	g.SetWarm(true)
	<-found // Gather does not wait for as long as a loaded machine may take
	var last gathered
	var d *Description
	for {
		var cmd command
		if c.Receive(&cmd) != nil {
			return nil
		}
		var known gathered
		if d == nil {
			d, known = gather(g)
		}
		for cmd.Do == "gather others" && slices.Equal(known.Addrs, last.Addrs) { // there is no event
			d.Release()
			time.Sleep(10 * time.Millisecond)
			d, known = gather(g)
		}
		if d != nil && cmd.Do == "connect" {
			known.connect(d, cmd.To)
		}
		if d != nil && cmd.Do != "hold" {
			d.Release()
			d = nil
		}
		known.Asked = asked.Load()
		last = known
		if err := c.Emit(known); err != nil {
			return err
		}
	}
}

// gather gathers. The description is nil after an error.
func gather(g *Gatherer) (d *Description, known gathered) {
	d, err := g.Gather(context.Background(), Options{})
	if err != nil {
		return nil, gathered{Err: err.Error()}
	}
	predicted, err := d.Predict(context.Background())
	if err != nil {
		d.Release()
		return nil, gathered{Err: err.Error()}
	}
	for _, c := range predicted.Candidates {
		known.Addrs = append(known.Addrs, c.Addr)
	}
	return predicted, known
}

// connect connects to a peer, which is a STUN server.
func (known *gathered) connect(d *Description, peer netip.AddrPort) {
	c, err := stun.Dial(context.Background(), observerDialer{port: d.Ports[0]}, peer.String())
	if err != nil {
		known.Err = err.Error()
		return
	}
	defer c.Close()
	if known.Seen, err = c.Binding(context.Background()); err != nil {
		known.Err = err.Error()
	}
}

// A gatherLab is a server in public and a host behind a NAT that gathers.
type gatherLab struct {
	home    *natlab.Site
	host    *natlab.Host
	servers []netip.AddrPort // the host asks at the first two
	proc    *labtest.Proc
}

// A labConfig is what a gatherLab is made from.
type labConfig struct {
	nat     string        // in words
	forgets time.Duration // idle connections, after this; 0 for the usual
	quick   bool          // the host does more often what it does in time
	ipv6    bool

	ipv4Servers bool // the host asks over IPv4 in spite of ipv6
}

func newGatherLab(t *testing.T, cfg labConfig) *gatherLab {
	t.Helper()
	lab := labtest.New(t, natlab.Config{Seed: 1})
	add := func(name, nat string) (*natlab.Site, *natlab.Host) {
		b, err := natlab.ParseBehaviour(nat)
		if err != nil {
			t.Fatal(err)
		}
		if name == "home" {
			b.Forgets = cfg.forgets
		}
		site, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: 5 * time.Millisecond, IPv6: cfg.ipv6})
		if err != nil {
			t.Fatal(err)
		}
		host, err := site.AddHost(name)
		if err != nil {
			t.Fatal(err)
		}
		return site, host
	}
	l := new(gatherLab)
	_, server := add("server", "public")
	l.home, l.host = add("home", cfg.nat)
	other, err := server.AddAddr()
	if err != nil {
		t.Fatal(err)
	}
	l.servers = []netip.AddrPort{
		netip.AddrPortFrom(server.Addr(), 3478), netip.AddrPortFrom(other, 3478), netip.AddrPortFrom(other, 3479),
	}
	if cfg.ipv6 {
		l.servers[2] = netip.AddrPortFrom(server.Addr6(), 3479)
		if !cfg.ipv4Servers {
			l.servers[0], l.servers[1] = netip.AddrPortFrom(server.Addr6(), 3477), netip.AddrPortFrom(server.Addr6(), 3478)
		}
	}
	labtest.Start(t, server, "serve", l.servers).Next(t, new(string))
	l.proc = labtest.Start(t, l.host, "gather", gatherConfig{
		Servers: []string{l.servers[0].String(), l.servers[1].String()},
		Quick:   cfg.quick,
	})
	return l
}

func (l *gatherLab) do(t *testing.T, cmd command) (known gathered) {
	t.Helper()
	l.proc.Send(t, cmd)
	if l.proc.Next(t, &known); known.Err != "" {
		t.Fatal(known.Err)
	}
	return known
}

// TestPeerSeesCandidate: whatever the NAT, the port has a connection to a peer from one of its
// candidates.
func TestPeerSeesCandidate(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf", "apdm-apdf", "adm-apdf", "apdm-apdf-sequential", "apdm-adf-sequential2", "apdm-apdf-overload", "apdm-apdf-descending", "adm-apdf-descending2"} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			l := newGatherLab(t, labConfig{nat: nat})
			for range 3 {
				known := l.do(t, command{Do: "connect", To: l.servers[2]})
				if !slices.Contains(known.Addrs, known.Seen) {
					t.Errorf("seen at %v, the candidates are %v", known.Seen, known.Addrs)
				}
			}
		})
	}
}

// TestHostMoves: a host that gets another address has its ports' new addresses soon. Its
// connections do not tell: they hang.
func TestHostMoves(t *testing.T) {
	t.Parallel() // it waits, for the most part
	l := newGatherLab(t, labConfig{nat: "eim-apdf"})
	before := l.do(t, command{Do: "gather"})
	if err := l.host.Move(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	after := l.do(t, command{Do: "gather others"})
	// That the connection to the observer hangs is noticed after keepAlive, in any case.
	if took := time.Since(begin); took > keepAlive {
		t.Errorf("it took %v, want some %v", took, networkCheck)
	}
	t.Logf("%v, and then %v", before.Addrs, after.Addrs)
}

// TestTemporaryAddresses: the host gets another IPv6 address, and prefers it. What leaves the port
// comes from the address that was named before that, and soon the new one is named.
func TestTemporaryAddresses(t *testing.T) {
	t.Parallel()
	for name, ipv6 := range map[string]bool{"as observers see it": true, "without an observer": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGatherLab(t, labConfig{nat: "eim-apdf", ipv6: true, ipv4Servers: !ipv6})
			before := l.host.Addr6()
			for range 2 {
				known := l.do(t, command{Do: "hold"})
				if err := l.host.RotateAddr6(); err != nil {
					t.Fatal(err)
				}
				seen := l.do(t, command{Do: "connect", To: l.servers[2]}).Seen
				if !slices.Contains(known.Addrs, seen) || seen.Addr() != before {
					t.Errorf("seen at %v, the candidates are %v", seen, known.Addrs)
				}
				before = l.host.Addr6()
				isNew := func(a netip.AddrPort) bool { return a.Addr() == before }
				for !slices.ContainsFunc(known.Addrs, isNew) {
					known = l.do(t, command{Do: "gather"})
				}
			}
		})
	}
}
