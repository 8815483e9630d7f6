package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A kind is a fault that may strike. Two properties describe what it makes fail.
type kind struct {
	name string

	// cuts: connections of whom it strikes may end by it. A fault that does not is no excuse for
	// a connection that was lost.
	cuts bool

	// aftermath is how long it may have effects after it was undone.
	aftermath time.Duration

	// targets are whom it can strike.
	targets func(*stage) []*station

	// strike begins it; undo ends it, and is not nil. It lasts for a time in between.
	strike func(t *testing.T, s *stage, on *station, rng *rand.Rand) (undo func())
	lasts  time.Duration // and up to half as long again
}

const (
	// Yamux notices an end that was cut off silently: it pings every 30 s and waits for 10 s. A
	// relay that has two connections of a peer may use the dead one until then.
	silentAftermath = 60 * time.Second

	// A peer that notices the end comes back at once, within the checks of keep and what a lost SYN
	// takes.
	toldAftermath = 15 * time.Second
)

func peers(s *stage) []*station   { return s.peers }
func relays(s *stage) []*station  { return s.relays }
func servers(s *stage) []*station { return []*station{s.stun} }

func mortals(s *stage) (ps []*station) {
	for _, p := range s.peers {
		if mortal[p.name] {
			ps = append(ps, p)
		}
	}
	return ps
}

// movable are the peers whose address may change. The NAT holds on to what the old address had, and
// gives the host's ports others than theirs from then on; if it also forgets a port with every RST,
// the host has other external ports after each refused SYN, for good, and no peer knows them.
func movable(s *stage) (ps []*station) {
	for _, p := range s.peers {
		if !p.site.NAT().RSTKills {
			ps = append(ps, p)
		}
	}
	return ps
}

func ends(s *stage) []*station { return append(append([]*station{}, s.peers...), s.relays...) }

var kinds = []kind{
	{"a relay is killed", true, toldAftermath, relays, killed, 3 * time.Second},
	{"the STUN server is killed", false, toldAftermath, servers, killed, 3 * time.Second},
	{"a peer is killed", true, toldAftermath, mortals, killed, 2 * time.Second},
	{"a link loses 20 %", true, toldAftermath, ends, lossy, 8 * time.Second},
	{"a link stops", true, toldAftermath, ends, down, 5 * time.Second},
	{"a link has 200 ms more delay", false, toldAftermath, peers, slow, 6 * time.Second},
	{"a NAT reboots", true, silentAftermath, peers, rebooted, time.Second},
	{"a peer stands still", true, toldAftermath, peers, still, 4 * time.Second},
	{"no file descriptors", false, toldAftermath, peers, fewFiles, 5 * time.Second},
	{"no local ports", false, toldAftermath, peers, fewPorts, 5 * time.Second},
	{"a peer's address changes", true, silentAftermath, movable, moved, time.Second},
}

// A fault is one that has struck.
type fault struct {
	*kind
	on          string // a station
	began, over time.Time
}

func (f fault) String() string {
	return fmt.Sprintf("%s %s: %s, for %v", f.began.Format("15:04:05.000"), f.name, f.on, f.over.Sub(f.began).Round(time.Millisecond))
}

// A schedule says what strikes next. Every kind has its turn before any has another.
type schedule struct {
	rng  *rand.Rand
	left []*kind
}

func newSchedule(seed uint64) *schedule { return &schedule{rng: rand.New(rand.NewPCG(seed, 1))} }

// strike makes one fault, from its beginning to its end.
func (sc *schedule) strike(t *testing.T, s *stage) {
	t.Helper()
	if len(sc.left) == 0 {
		for i := range kinds {
			sc.left = append(sc.left, &kinds[i])
		}
		sc.rng.Shuffle(len(sc.left), func(i, j int) { sc.left[i], sc.left[j] = sc.left[j], sc.left[i] })
	}
	k := sc.left[0]
	sc.left = sc.left[1:]
	targets := k.targets(s)
	on := targets[sc.rng.IntN(len(targets))]
	f := fault{kind: k, on: on.name, began: time.Now()}
	end := s.tally.begin(f)
	undo := k.strike(t, s, on, sc.rng)
	time.Sleep(k.lasts + upTo(sc.rng, k.lasts/2))
	undo()
	f.over = end()
	t.Log(f)
}

// killed: SIGKILL, and another process with the same identity, at the same address.
func killed(t *testing.T, s *stage, on *station, _ *rand.Rand) func() {
	on.proc.Kill()
	return func() {
		s.start(t, on)
		if on.role == "peer" {
			on.do(t, command{Do: "work"})
		}
	}
}

func lossy(_ *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	on.site.SetLoss(0.2)
	return func() { on.site.SetLoss(0) }
}

func down(_ *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	on.site.SetDown(true)
	return func() { on.site.SetDown(false) }
}

// slow: in one direction only, or in both.
func slow(_ *testing.T, s *stage, on *station, rng *rand.Rand) func() {
	both := rng.IntN(2) == 0
	set := func(d time.Duration) {
		for _, st := range s.all() {
			if st == on {
				continue
			}
			s.lab.SetExtraDelay(on.site, st.site, d)
			if both {
				s.lab.SetExtraDelay(st.site, on.site, d)
			}
		}
	}
	set(200 * time.Millisecond)
	return func() { set(0) }
}

func rebooted(_ *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	on.site.ResetNAT()
	return func() {}
}

// still: as a laptop that is shut, and opened again. To the process, time has jumped.
func still(t *testing.T, _ *stage, on *station, rng *rand.Rand) func() {
	if err := on.proc.Hold(time.Second + upTo(rng, 9*time.Second)); err != nil {
		t.Error(err)
	}
	return func() {}
}

func fewFiles(t *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	on.do(t, command{Do: "few files"})
	return func() { on.do(t, command{Do: "many files"}) }
}

// fewPorts leaves the kernel a handful of ports to choose from, all of which are taken.
func fewPorts(t *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	const file, first, last = "/proc/sys/net/ipv4/ip_local_port_range", 20000, 20007
	var before []byte
	var taken []int
	err := on.host.Do(func() (err error) {
		if before, err = os.ReadFile(file); err != nil {
			return err
		}
		for port := first; port <= last; port++ {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			taken = append(taken, fd)
			if err := unix.Bind(fd, &unix.SockaddrInet6{Port: port}); err != nil {
				return err
			}
		}
		return os.WriteFile(file, fmt.Appendf(nil, "%d %d", first, last), 0)
	})
	if err != nil {
		t.Error(err)
	}
	return func() {
		err := on.host.Do(func() error { return os.WriteFile(file, before, 0) })
		if err != nil {
			t.Error(err)
		}
		for _, fd := range taken {
			unix.Close(fd)
		}
	}
}

func moved(t *testing.T, _ *stage, on *station, _ *rand.Rand) func() {
	if err := on.host.Move(); err != nil {
		t.Error(err)
	}
	return func() {}
}

// punchable reports whether two of the NATs allow a direct connection, as docs/nat.md has it: a
// port that cannot be predicted is of no use where the other side admits only endpoints that it
// sent to.
func punchable(a, b natlab.Behaviour) bool {
	blind := func(a, b natlab.Behaviour) bool {
		return a.Mapping == natlab.APDM && a.Ports == natlab.PortRandom &&
			(b.Filtering == natlab.APDF || b.Mapping == natlab.APDM && b.Ports == natlab.PortRandom)
	}
	return !blind(a, b) && !blind(b, a)
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
