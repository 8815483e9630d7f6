package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestInterrupt: a Ctrl-C in the middle of a punch ends the demo, and nothing is left of its
// process group.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for name, env := range map[string]string{"lab": "", "loopback": "1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(exe, "-oneway", "50ms", "-bytes", "1000000000000")
			cmd.Env = append(os.Environ(), loopbackEnv+"="+env)
			p := program.StartGroup(t, cmd)
			p.Line("relayed ")
			if r := p.InterruptGroup(); r.Status != 1 {
				t.Errorf("status %d, want 1", r.Status)
			}
		})
	}
}
