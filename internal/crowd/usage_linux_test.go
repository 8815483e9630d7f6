package crowd

import (
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// A usage is what a process has taken of the machine so far, and holds.
type usage struct {
	CPU        time.Duration
	Most       int // bytes of memory, of the kernel's count: the most that it had
	Memory     int // bytes of heap and stacks, after a collection
	Goroutines int
	Files      int
}

func use() usage {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r) // fails for no valid argument
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd")
	return usage{
		CPU:        time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		Most:       int(r.Maxrss) << 10,
		Memory:     int(m.HeapAlloc + m.StackInuse),
		Goroutines: runtime.NumGoroutine(),
		Files:      len(files),
	}
}

// less returns what was taken and is held more than before.
func (u usage) less(before usage) usage {
	return usage{u.CPU - before.CPU, u.Most - before.Most, u.Memory - before.Memory, u.Goroutines - before.Goroutines, u.Files - before.Files}
}

// moreFiles raises the process's limit of file descriptors as far as it may.
func moreFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// serve answers the parent's commands until it has no more. The first answer is that the process is
// ready.
func serve(c *labtest.Child, do func(command) (any, error)) error {
	if err := moreFiles(); err != nil {
		return err
	}
	if err := c.Emit(nil); err != nil {
		return err
	}
	for {
		var cmd command
		if err := c.Receive(&cmd); err != nil {
			return endOfInput(err)
		}
		answer, err := do(cmd)
		if err != nil {
			return err
		}
		if err := c.Emit(answer); err != nil {
			return err
		}
	}
}

func endOfInput(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
