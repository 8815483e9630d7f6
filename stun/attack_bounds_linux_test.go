package stun_test

import (
	"context"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["attacked"] = attackedRole }

// An attackedServer configures a server under attack.
type attackedServer struct {
	Server stun.ServerConfig
	Files  uint64 // how many the process may open; 0 for as many as it may
}

// A usage is what a server uses under attack.
type usage struct {
	Open       int    // connections
	Goroutines int    // of the process
	Heap       uint64 // with stacks, in bytes, after a garbage collection
	Queued     int    // bytes in the kernel that the server has not read, or the client
}

// attackedRole serves on loopback, and emits its usage on request.
func attackedRole(c *labtest.Child) error {
	var f attackedServer
	if err := c.Config(&f); err != nil {
		return err
	}
	if f.Files > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: f.Files, Max: f.Files}); err != nil {
			return err
		}
	}
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := stun.NewServer(&f.Server)
	watched := &watchedListener{TCPListener: l.(*net.TCPListener), conns: make(map[*net.TCPConn]struct{})}
	go func() { _ = s.Serve(watched) }()
	if err := c.Emit(serving{addrPort(l), os.Getpid()}); err != nil {
		return err
	}
	for {
		if c.Receive(new(bool)) != nil {
			return s.Close()
		}
		if err := c.Emit(usage{s.Stats().Open, runtime.NumGoroutine(), heap(), watched.queued()}); err != nil {
			return err
		}
	}
}

// heap returns the memory that is in use. What becomes garbage while the collector runs counts as
// in use, and on a busy machine that may be much. So it takes the least of three collections.
func heap() uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc+m.StackInuse)
	}
	return least
}

// watchedListener knows the connections that it accepted.
type watchedListener struct {
	*net.TCPListener
	mu    sync.Mutex
	conns map[*net.TCPConn]struct{}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	nc, err := l.TCPListener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns[nc.(*net.TCPConn)] = struct{}{}
	}
	return nc, err
}

// queued is the number of bytes in the sockets' queues.
func (l *watchedListener) queued() (total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for nc := range l.conns {
		raw, err := nc.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				for _, queue := range []uint{unix.SIOCINQ, unix.SIOCOUTQ} {
					if n, err := unix.IoctlGetInt(int(fd), queue); err == nil {
						total += n
					}
				}
			})
		}
		if err != nil {
			delete(l.conns, nc) // it is closed
		}
	}
	return total
}

// ask asks a server over a new connection.
func ask(ctx context.Context, server netip.AddrPort) error {
	c, err := stun.Dial(ctx, &net.Dialer{}, server.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Binding(ctx)
	return err
}

// attackedMaxConns is the MaxConns of an attacked server.
const attackedMaxConns = 256

// TestServerUnderAttack attacks a server as fast as the machine can, and asks it meanwhile from
// another address: it answers, and what it spends is bounded.
func TestServerUnderAttack(t *testing.T) {
	plain := attackedServer{Server: stun.ServerConfig{MaxConns: attackedMaxConns, MaxConnsPerClient: attackedMaxConns / 4}}
	hasty := plain
	hasty.Server.MaxRequestRate = 2000 // at 16 a second it would take minutes
	poor := attackedServer{Files: attackedMaxConns}
	for name, tt := range map[string]struct {
		attack string
		from   int // addresses, of a network each
		fort   attackedServer
	}{
		"connects":           {"connects", 1, plain},
		"garbage":            {"garbage", 1, plain},
		"unknown methods":    {"unknown methods", 1, plain},
		"pipelined":          {"pipelined", 1, plain},
		"silent":             {"silent", 8, plain},
		"silent, everywhere": {"silent", attackedMaxConns * 5 / 4, plain},
		"half a request":     {"half a request", 8, plain},
		"a byte a second":    {"a byte a second", 8, plain},
		"unknown attributes": {"unknown attributes", 8, plain},
		"never reads":        {"never reads", 8, hasty},
		"asks":               {"asks", 8, plain},
		"no files":           {"asks", 8, poor},
	} {
		t.Run(name, func(t *testing.T) {
			p := labtest.StartOutside(t, "attacked", tt.fort)
			var server serving
			p.Next(t, &server)
			a := attack{Kind: tt.attack, Server: server.At, From: addresses(tt.from), Conns: attackedMaxConns * 5 / 4, begun: new(atomic.Int64)}
			before := readUsage(t, p)
			defer a.start()()
			// An attacker that holds connections fills the server with them.
			full, worst := 0, usage{}
			if tt.from > 1 {
				full = attackedMaxConns * 9 / 10
			}
			for a.begun.Load() < attackedMaxConns || worst.Open < full {
				time.Sleep(10 * time.Millisecond)
				worst = worst.max(readUsage(t, p))
			}
			refused := 0
			for range 10 {
				err := ask(t.Context(), a.Server)
				for ; err != nil && full > 0 && refused < 100; refused++ {
					// On a slow machine many newcomers came and went before it could ask.
					err = ask(t.Context(), a.Server)
				}
				if err != nil {
					t.Errorf("from another address: %v", err)
				}
			}
			worst = worst.max(readUsage(t, p))
			t.Logf("asked 10 times, refused %d times, beside %d connections; %d are there, with %d bytes of memory each, and %d in the kernel",
				refused, a.begun.Load(), worst.Open, int(worst.Heap-before.Heap)/max(worst.Open, 1), worst.Queued/max(worst.Open, 1))
			// In the kernel: 33 kB of answers, and what came in one go before the server had
			// accepted, 64 kB on loopback.
			const perConn, inKernel, floating = 16 << 10, 128 << 10, 16 << 20
			if spent := int(worst.Heap - before.Heap); spent > floating+perConn*worst.Open {
				t.Errorf("%d bytes of memory", spent)
			}
			// On a busy machine the goroutines of evicted connections take a while to end.
			if worst.Open > attackedMaxConns || worst.Goroutines > 3*attackedMaxConns || worst.Queued > inKernel*attackedMaxConns {
				t.Errorf("it has spent %+v", worst)
			}
		})
	}
}

// readUsage asks an attacked server for its usage.
func readUsage(t *testing.T, p *labtest.Proc) (l usage) {
	t.Helper()
	p.Send(t, true)
	p.Next(t, &l)
	return l
}

// max returns the larger value of each field.
func (l usage) max(o usage) usage {
	return usage{max(l.Open, o.Open), max(l.Goroutines, o.Goroutines), max(l.Heap, o.Heap), max(l.Queued, o.Queued)}
}
