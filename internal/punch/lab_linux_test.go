package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["punch"] = punchRole }

// A labConfig is what a child needs to take its part; the parent is the signalling.
type labConfig struct {
	Server    string // STUN
	Initiator bool
	Liar      bool // another attempt, with a liar that names the peer's address, begins before
}

// A labSide is what is sent to the peer.
type labSide struct {
	Mapped netip.AddrPort
	Token  Token
}

type labStart struct {
	Peer  labSide
	Delay time.Duration // before the first SYN, as if the signalling took longer
	Late  bool          // begin when a connection was accepted
}

type labResult struct {
	Local, Remote netip.AddrPort
	Steps         []Step
	Congestion    string        // the kernel's congestion control
	MinRTT        time.Duration // as the kernel has it
	Err           string
}

// punchRole is one peer, as a process in a host of the lab.
func punchRole(c *labtest.Child) error {
	var cfg labConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	receiver := NewReceiver()
	defer receiver.Close()
	port, err := tcpport.Open(receiver.Accept, nil)
	if err != nil {
		return err
	}
	defer port.Close()
	server, err := stun.Dial(ctx, port, cfg.Server)
	if err != nil {
		return err
	}
	defer server.Close()
	mapped, err := server.Binding(ctx)
	if err != nil {
		return err
	}

	var r labResult
	var mu sync.Mutex
	accepted := make(chan struct{}, 1)
	trace := func(step Step, _ uint16, _ netip.AddrPort, _ error) {
		mu.Lock()
		defer mu.Unlock()
		r.Steps = append(r.Steps, step)
		if step == Accepted {
			select {
			case accepted <- struct{}{}:
			default:
			}
		}
	}
	token := NewToken()
	stream := NewStream(StreamConfig{Initiator: cfg.Initiator, Token: token, Trace: trace})
	defer stream.Close()
	defer receiver.Expect(token, func(c *net.TCPConn) { stream.Serve(c, true) })()
	if err := c.Emit(labSide{mapped, token}); err != nil {
		return err
	}
	var start labStart
	if err := c.Receive(&start); err != nil {
		return err
	}
	stream.SetPeerToken(start.Peer.Token)
	round := Round{
		Ports: []*tcpport.Port{port}, Remote: reflexive(start.Peer.Mapped),
		Initiator: cfg.Initiator, Receiver: receiver, Trace: trace,
	}
	connects, stop := context.WithCancel(ctx)
	defer stop()
	if cfg.Liar {
		defer openLiar(connects, round)()
	}
	if start.Late {
		select {
		case <-accepted:
		case <-ctx.Done():
		}
	}
	time.Sleep(start.Delay)
	round.Serve = func(c *net.TCPConn) error { return stream.Serve(c, false) }
	defer Open(connects, round).Wait()
	select {
	case <-stream.Chosen():
		conn := stream.TCPConn()
		r.Local, r.Remote = tupleAddrs(conn)
		r.Congestion, r.MinRTT = congestion(conn)
	case <-ctx.Done():
		r.Err = "no connection was chosen"
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	if err := c.Emit(r); err != nil {
		return err
	}
	// The connection is held until the parent has seen both ends.
	var over bool
	c.Receive(&over)
	return nil
}

// openLiar begins an attempt whose peer is not at the candidates.
func openLiar(ctx context.Context, r Round) (wait func()) {
	s := NewStream(StreamConfig{Initiator: true, Token: NewToken()})
	s.SetPeerToken(NewToken())
	r.Serve = func(c *net.TCPConn) error { return s.Serve(c, false) }
	r.Trace = nil
	o := Open(ctx, r)
	time.Sleep(10 * time.Millisecond) // its SYN is on the way
	return func() {
		s.Fail(errors.New("the test is over"))
		o.Wait()
	}
}

func tupleAddrs(c *net.TCPConn) (local, remote netip.AddrPort) {
	return c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
}

func congestion(c *net.TCPConn) (name string, minRTT time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error(), 0
	}
	raw.Control(func(fd uintptr) {
		name, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			minRTT = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return name, minRTT
}

// A labPunch is a lab with two peers that know their reflexive addresses.
type labPunch struct {
	lab     *natlab.Lab
	sites   [2]*natlab.Site // initiator's and responder's
	procs   [2]*labtest.Proc
	told    [2]labSide
	mu      sync.Mutex
	packets [2][]natlab.Event // outside each NAT, from the start of the punch
}

func newLabPunch(t *testing.T, nats [2]string, liars [2]bool, delay time.Duration) *labPunch {
	t.Helper()
	l := &labPunch{lab: labtest.New(t, natlab.Config{Seed: 1})}
	addSite := func(name, words string, d time.Duration) *natlab.Site {
		b, err := natlab.ParseBehaviour(words)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: d})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	addHost := func(s *natlab.Site) *natlab.Host {
		h, err := s.AddHost(s.Name())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	server := serveSTUN(t, addHost(addSite("server", "public", time.Millisecond)))
	for i, words := range nats {
		l.sites[i] = addSite([]string{"initiator", "responder"}[i], words, delay)
		cfg := labConfig{Server: server, Initiator: i == 0, Liar: liars[i]}
		l.procs[i] = labtest.Start(t, addHost(l.sites[i]), "punch", cfg)
		l.procs[i].Next(t, &l.told[i])
	}
	for i, s := range l.sites {
		s.Tap(func(e natlab.Event) {
			if e.Place == natlab.Outside {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.packets[i] = append(l.packets[i], e)
			}
		})
	}
	return l
}

// serveSTUN runs our STUN server in h and returns its address.
func serveSTUN(t *testing.T, h *natlab.Host) string {
	t.Helper()
	var l net.Listener
	if err := h.Do(func() (err error) {
		l, err = net.Listen("tcp4", ":3478")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	stuntest.Serve(t, l)
	return netip.AddrPortFrom(h.Addr(), 3478).String()
}

// punch starts both sides, each as is said, and returns what they got.
func (l *labPunch) punch(t *testing.T, initiator, responder labStart) [2]labResult {
	t.Helper()
	starts := [2]labStart{initiator, responder}
	for i, p := range l.procs {
		starts[i].Peer = l.told[1-i]
		p.Send(t, starts[i])
	}
	var r [2]labResult
	for i, p := range l.procs {
		p.Next(t, &r[i])
		if r[i].Err != "" {
			t.Errorf("%s: %s; steps %v", l.sites[i].Name(), r[i].Err, r[i].Steps)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return r
}

// wantPeers checks that both are connected to the candidate that they were given.
func (l *labPunch) wantPeers(t *testing.T, r [2]labResult) {
	t.Helper()
	for i := range r {
		if r[i].Remote != l.told[1-i].Mapped {
			t.Errorf("%s is connected to %s, want %s", l.sites[i].Name(), r[i].Remote, l.told[1-i].Mapped)
		}
	}
}

// seen lists what passed outside a site's NAT between the peers, a packet a line like "out SYN" or
// "in SYN+ACK", without those that did not pass.
func (l *labPunch) seen(site int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seen []string
	for _, e := range l.packets[site] {
		p, err := natlab.Parse(e.Packet)
		if err != nil || e.Fate != natlab.Forwarded {
			continue
		}
		own, peer := p.Src(), p.Dst()
		direction := "out "
		if e.Direction == natlab.Inbound {
			own, peer = peer, own
			direction = "in "
		}
		if own == l.told[site].Mapped && peer == l.told[1-site].Mapped {
			words := strings.Fields(p.String()) // the last is the flags
			seen = append(seen, direction+words[len(words)-1])
		}
	}
	return seen
}

// otherSources lists where a site's SYNs to the peer came from, other than the port whose mapping
// was sent to the peer.
func (l *labPunch) otherSources(site int) []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	var from []netip.AddrPort
	for _, e := range l.packets[site] {
		p, err := natlab.Parse(e.Packet)
		if err == nil && e.Direction == natlab.Outbound && p.Flags() == natlab.SYN &&
			p.Dst().Addr() == l.told[1-site].Mapped.Addr() && p.Src() != l.told[site].Mapped {
			from = append(from, p.Src())
		}
	}
	return from
}

func count(seen []string, what string) int {
	n := 0
	for _, s := range seen {
		if s == what {
			n++
		}
	}
	return n
}
