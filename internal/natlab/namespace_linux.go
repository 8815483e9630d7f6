package natlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace without a name. A thread of its own keeps it alive and starts
// its child processes, because a child is killed when the thread that forked it ends.
type namespace struct {
	file  *os.File // for other threads to enter by
	port  string   // its name at a bridge
	calls chan func()
	quit  chan struct{} // closed to end the keeping thread
	done  chan struct{} // closed when it has ended
}

// newNamespace makes a namespace with loopback only.
func newNamespace() (*namespace, error) {
	ns := &namespace{
		calls: make(chan func()),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	result := make(chan error)
	onThread(func() {
		defer close(ns.done)
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			result <- fmt.Errorf("network namespace: %w", err)
			return
		}
		if ns.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			result <- err
			return
		}
		if err = linkUp("lo"); err != nil {
			ns.file.Close()
			result <- err
			return
		}
		result <- nil
		ns.serve()
	})
	if err := <-result; err != nil {
		<-ns.done
		return nil, err
	}
	return ns, nil
}

func (ns *namespace) serve() {
	for {
		select {
		case f := <-ns.calls:
			f()
		case <-ns.quit:
			return
		}
	}
}

// do runs f on a thread of its own, not on the keeping one, so that a slow f blocks no other call.
func (ns *namespace) do(f func() error) error {
	err := errors.New("natlab: the function called runtime.Goexit")
	done := make(chan struct{})
	onThread(func() {
		defer close(done)
		if enterErr := ns.enter(); enterErr != nil {
			err = enterErr
			return
		}
		err = f()
	})
	<-done
	return err
}

// enter moves the calling thread into the namespace.
func (ns *namespace) enter() error {
	return ns.withFD(func(fd int) error {
		return os.NewSyscallError("setns", unix.Setns(fd, unix.CLONE_NEWNET))
	})
}

// withFD calls f with a descriptor of the namespace.
func (ns *namespace) withFD(f func(fd int) error) error {
	conn, err := ns.file.SyscallConn()
	if err != nil {
		return errClosed
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return errClosed
	}
	return result
}

func (ns *namespace) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	result := make(chan error, 1)
	select {
	case ns.calls <- func() { result <- cmd.Start() }:
		return <-result
	case <-ns.quit:
		return errClosed
	}
}

// stop suspends a process, and resume continues it.
func stop(p *os.Process) error   { return p.Signal(unix.SIGSTOP) }
func resume(p *os.Process) error { return p.Signal(unix.SIGCONT) }

func (ns *namespace) close() {
	close(ns.quit)
	<-ns.done
	ns.file.Close()
}
