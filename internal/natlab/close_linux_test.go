package natlab_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestCloseLeavesNothing(t *testing.T) {
	labtest.Require(t)
	use := func() {
		lab, err := natlab.New(natlab.Config{})
		if err != nil {
			t.Fatal(err)
		}
		server := addHost(t, lab, natlab.SiteConfig{Name: "server", Delay: time.Hour})
		client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "eim-apdf")})
		addHost(t, lab, natlab.SiteConfig{Name: "kernel", NAT: behaviour(t, "kernel")})
		// Its packet is still on the way when the lab is closed.
		if conn, err := connect(client, 0, netip.AddrPortFrom(server.Addr(), 80), time.Millisecond); err == nil {
			conn.Close()
			t.Error("connected through a link of an hour")
		}
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Do(func() error { return nil }); err == nil {
			t.Error("a host can be used after Close")
		}
		if _, err := client.Site().AddHost("late"); err == nil {
			t.Error("a host can be added after Close")
		}
	}
	useBridge := func() {
		lab, err := natlab.New(natlab.Config{Bridge: true})
		if err != nil {
			t.Fatal(err)
		}
		lab.Tap(func(natlab.Event) {})
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		client := addHost(t, lab, natlab.SiteConfig{Name: "client", NAT: behaviour(t, "kernel-rst")})
		if conn, err := connect(client, 0, netip.AddrPortFrom(server.Addr(), 80), soon); err == nil {
			conn.Close()
			t.Error("connected to nobody")
		}
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	}
	use() // once for what the runtime and the packages below open for good
	useBridge()
	goroutines := goleak.IgnoreCurrent()
	files, threads := count(t, "/proc/self/fd"), foreignThreads(t)
	use()
	useBridge()
	goleak.VerifyNone(t, goroutines)
	if now := count(t, "/proc/self/fd"); now > files {
		t.Errorf("%d files open, %d before", now, files)
	}
	// A thread ends a little after its goroutine.
	for start := time.Now(); foreignThreads(t) > threads; time.Sleep(time.Millisecond) {
		if time.Since(start) > soon {
			t.Fatal("a thread is still in a host")
		}
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// foreignThreads counts the threads of this process that are not in its network namespace.
func foreignThreads(t *testing.T) (n int) {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && ns != own {
			n++
		}
	}
	return n
}
