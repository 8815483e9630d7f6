package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestInterrupt: a Ctrl-C, whenever it comes, ends the check in a lab, and nothing is
// left of its process group.
func TestInterrupt(t *testing.T) {
	labtest.Require(t)
	cmd := exec.Command(program.Build(t, "."), "-lab", "eim-apdf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := program.Start(t, cmd)
	group := -cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	// It comes before main can act on it, or while the check runs.
	if r := p.Wait(); r.Status == 0 || strings.Contains(r.Stdout, "mapping") {
		t.Errorf("status %d, stdout %q", r.Status, r.Stdout)
	}
	if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("something is left: %v", err)
	}
}
