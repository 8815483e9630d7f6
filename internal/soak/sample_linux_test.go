package soak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// A sample is what a process holds when nothing is under way.
type sample struct {
	Goroutines int
	Files      int    // open file descriptors
	Sockets    int    // of those, TCP and UDP
	Orphans    int    // TCP sockets that are closed, and that the kernel still has an end to bring to
	Heap       uint64 // bytes that are reachable
	Left       string // what is held and should not be; empty if all was given back
}

const (
	// settleTime is how long it may take until nothing is under way. A responder whose
	// initiator has gone silent goes on for 18 s.
	settleTime = 45 * time.Second

	settleCheck = 50 * time.Millisecond
)

// measure takes a sample. It gives goroutines that are about to end the time to do so: until
// there are as few as in an earlier sample.
func measure(base int) *sample {
	for end := time.Now().Add(settleTime / 3); base > 0 && runtime.NumGoroutine() > base && time.Now().Before(end); {
		time.Sleep(settleCheck)
	}
	s := &sample{Goroutines: runtime.NumGoroutine(), Files: openFiles()}
	s.Sockets, s.Orphans = sockets()
	// After that: a finalizer closes a socket that was lost. The second collection frees what
	// finalizers have released.
	runtime.GC()
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	s.Heap = mem.HeapAlloc
	return s
}

// openFiles counts file descriptors, without the one that it takes to look.
func openFiles() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(fds) - 1
}

// sockets counts those of the network namespace, which only this process uses: those that a process
// holds, and those that none does. TIME-WAIT is no socket any more.
func sockets() (held, orphans int) {
	for _, family := range []string{"tcp", "tcp6", "udp", "udp6"} {
		table, _ := os.ReadFile("/proc/self/net/" + family) // one that is missing has none
		lines := strings.Split(string(table), "\n")
		for _, line := range lines[1:] {
			const state, inode, timeWait = 3, 9, "06"
			switch f := strings.Fields(line); {
			case len(f) <= inode || f[state] == timeWait:
			case f[inode] == "0":
				orphans++
			default:
				held++
			}
		}
	}
	return held, orphans
}

func stacks() string {
	var b bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}

// accounted is what the host's resource manager has on its books, one line for each scope that is
// not empty.
func accounted(m network.ResourceManager) (scopes []string) {
	book := func(scope string, s network.ScopeStat) {
		if s != (network.ScopeStat{}) {
			scopes = append(scopes, fmt.Sprintf("%s: %+v", scope, s))
		}
	}
	all := m.(rcmgr.ResourceManagerState).Stat()
	book("system", all.System)
	book("transient", all.Transient)
	for name, s := range all.Services {
		book("service "+name, s)
	}
	for name, s := range all.Protocols {
		book("protocol "+string(name), s)
	}
	for p, s := range all.Peers {
		book("peer "+p.String(), s)
	}
	return scopes
}
