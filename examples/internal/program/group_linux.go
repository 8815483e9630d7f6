package program

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// StartGroup is Start with a process group of its own for the command, as a shell gives it.
func StartGroup(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return Start(t, cmd)
}

// InterruptGroup sends what Ctrl-C in a terminal sends, and waits for the program's end. The test
// fails if a process of the group is left.
func (p *Process) InterruptGroup() Result {
	p.t.Helper()
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	r := p.Wait()
	if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("something is left: %v", err)
	}
	return r
}
