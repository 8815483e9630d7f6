package program

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// StartGroup is Start for a command that is to have a process group of its own, as a
// shell gives it.
func StartGroup(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return Start(t, cmd)
}

// InterruptGroup does what Ctrl-C does in a terminal, and returns what came of it. Nothing may be left of
// the group.
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
