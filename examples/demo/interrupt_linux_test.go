package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestInterrupt: a Ctrl-C in the middle of a punch ends the demo, and nothing is
// left of its process group.
func TestInterrupt(t *testing.T) {
	labtest.Require(t)
	exe := program.Build(t, ".")
	for name, env := range map[string]string{"lab": "", "loopback": "1"} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(exe, "-oneway", "200ms", "-bytes", "1000000000000")
			cmd.Env = append(os.Environ(), loopbackEnv+"="+env)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			p := program.Start(t, cmd)
			p.Line("relayed ")
			group := -cmd.Process.Pid
			if err := syscall.Kill(group, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if r := p.Wait(); r.Status != 1 {
				t.Errorf("status %d, want 1", r.Status)
			}
			if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}
