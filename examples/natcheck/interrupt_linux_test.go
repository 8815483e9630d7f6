package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestInterrupt: a Ctrl-C, whenever it comes, ends the check in a lab, and nothing is left of its
// process group.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	p := program.StartGroup(t, exec.Command(program.Self(t), "-lab", "eim-apdf"))
	// It comes before main can act on it, or while the check runs.
	if r := p.InterruptGroup(); r.Status == 0 || strings.Contains(r.Stdout, "mapping") {
		t.Errorf("status %d, stdout %q", r.Status, r.Stdout)
	}
}
