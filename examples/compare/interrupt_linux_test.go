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

// TestInterrupt: a Ctrl-C ends the comparison, and nothing is left of its process group.
func TestInterrupt(t *testing.T) {
	labtest.Require(t)
	exe := program.Build(t, ".")
	for name, after := range map[string]string{"while it gets ready": "runs ", "while it runs": `"impl"`} {
		t.Run(name, func(t *testing.T) {
			args := []string{"-only", "clean"}
			if strings.HasPrefix(after, `"`) {
				args = append(args, "-json")
			}
			cmd := exec.Command(exe, args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			p := program.Start(t, cmd)
			p.Line(after)
			group := -cmd.Process.Pid
			if err := syscall.Kill(group, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if r := p.Wait(); r.Status != 1 || !strings.Contains(r.Stderr, "interrupted") || strings.Contains(r.Stdout, "summary") {
				t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
			}
			if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}
