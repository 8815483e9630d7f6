package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestInterrupt: a Ctrl-C ends the comparison, and nothing is left of its process group.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for name, after := range map[string]string{"while it gets ready": "runs ", "while it runs": `"impl"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-only", "clean"}
			if strings.HasPrefix(after, `"`) {
				args = append(args, "-json")
			}
			p := program.StartGroup(t, exec.Command(exe, args...))
			p.Line(after)
			if r := p.InterruptGroup(); r.Status != 1 || !strings.Contains(r.Stderr, "interrupted") || strings.Contains(r.Stdout, "summary") {
				t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
			}
		})
	}
}
