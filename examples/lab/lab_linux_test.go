package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// lab returns a command of the lab. Its own standard error is not the commands'.
func lab(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	labtest.Require(t)
	return exec.Command(program.Self(t), args...)
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args   []string
		status int
		stdout string
	}{
		{[]string{"--", "sh", "-c", "echo $LAB_HOST $OWN_IP $OUTER_IP $PEER_IP $STUN $RELAY_IP; exit 7"}, 7, "alice 10.2.0.1 46.0.2.1 46.0.3.1 46.0.1.1:3478 46.0.1.1\n"},
		{[]string{"-b", "public", "-bob", "echo $LAB_HOST $OWN_IP $OUTER_IP $PEER_IP; exit 3"}, 3, "bob 46.0.3.1 46.0.3.1 46.0.2.1\n"},
		{[]string{"-relay", "echo $LAB_HOST $OWN_IP $ALICE_IP $BOB_IP$PEER_IP"}, 0, "relay 46.0.1.1 46.0.2.1 46.0.3.1\n"},
		{[]string{"-a", "kernel-drop", "-bridge", "--", "sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
		{[]string{"--", "no-such-command"}, statusNotFound, ""},
		{[]string{"--", "/"}, statusNotRun, ""},
		{[]string{"-pcap", "/nowhere/captures", "--", "true"}, statusFailed, ""}, // not the whole path
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			r := program.Run(t, lab(t, test.args...))
			if r.Status != test.status || r.Stdout != test.stdout {
				t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
			}
		})
	}
}

// TestShell: without a command there is a shell at alice's, which reads the standard input.
func TestShell(t *testing.T) {
	t.Parallel()
	cmd := lab(t)
	cmd.Env = append(os.Environ(), "SHELL=/bin/sh")
	cmd.Stdin = strings.NewReader("echo at $LAB_HOST\nexit 4\n")
	r := program.Run(t, cmd)
	if r.Status != 4 || r.Stdout != "at alice\n" || !strings.Contains(r.Stderr, "lab enter bob") {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
}

// TestTwo: two commands at once have labels, alice's leads, and nothing is left of what others have
// started, whatever session they have made.
func TestTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pids, ready := filepath.Join(dir, "pids"), filepath.Join(dir, "ready")
	if err := unix.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	bob := fmt.Sprintf("setsid sleep 1000 & echo $! >%s; echo $$ >>%[1]s; echo here; echo >%s; exec sleep 1000", pids, ready)
	r := program.Run(t, lab(t, "-alice", "read x <"+ready+"; echo there; exit 5", "-bob", bob))
	lines := slices.Sorted(strings.Lines(r.Stdout)) // of two pipes
	if r.Status != 5 || !slices.Equal(lines, []string{"alice  there\n", "bob    here\n"}) || strings.Contains(r.Stderr, "has ended") {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
	wantGone(t, pids)
}

// wantGone checks that the processes in a file have ended.
func wantGone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	pids := strings.Fields(string(b))
	if err != nil || len(pids) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
}

// TestRecipe runs the libp2p program of docs/lab.md as it stands there.
func TestRecipe(t *testing.T) {
	t.Parallel()
	cmd := lab(t)
	dir := t.TempDir()
	for name, exe := range map[string]string{"lab": cmd.Path, "peer": program.Build(t, "../peer")} {
		if err := os.Symlink(exe, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile("../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, found := strings.Cut(string(doc), "rm -f bob.out\n")
	recipe, _, ended := strings.Cut(recipe, "```\n")
	if !found || !ended {
		t.Fatal("docs/lab.md has no recipe with bob.out")
	}
	sh := exec.Command("/bin/sh", "-c", recipe, cmd.Path) // the last makes ./lab the program
	sh.Dir = dir
	r := program.Run(t, sh)
	if r.Status != 0 || !strings.Contains(r.Stdout, "\nalice  direct ") {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
}

// TestNotice: a command that fails is reported, and the lab goes on.
func TestNotice(t *testing.T) {
	t.Parallel()
	cmd := lab(t, "-bob", "exit 9", "-relay", "true", "--", "sh", "-c", "read x")
	cmd = exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@" 2>&1`}, cmd.Args...)...)
	end, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := program.Start(t, cmd)
	p.Line("the command at bob's has ended with status 9")
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if r := p.Wait(); r.Status != 1 { // read's, at the end of its input
		t.Errorf("status %d", r.Status)
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	line := fmt.Sprintf("sleep 1000 & echo $! >>%s; echo $$ >>%[1]s; echo here; wait", pids)
	p := program.StartGroup(t, lab(t, "-alice", line, "-bob", line, "-pcap", dir))
	p.Line("here")
	p.Line("here")
	if r := p.InterruptGroup(); r.Status != 130 || !strings.Contains(r.Stderr, filepath.Join(dir, "bob.pcapng")) {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	wantGone(t, pids)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	program.WantUsage(t, exe,
		[]string{"-a", "cone"},
		[]string{"-loss", "2"},
		[]string{"-alice", "true", "--", "true"},
		[]string{"enter"},
		[]string{"enter", "-lab", "x", "bob"},
	)
	if r := program.Run(t, exec.Command(exe, "-help")); r.Status != 0 || !strings.Contains(r.Stdout, "kernel[-INPUT]") || !strings.Contains(r.Stdout, "PEER_IP") {
		t.Errorf("status %d, stdout %q", r.Status, r.Stdout)
	}
}
