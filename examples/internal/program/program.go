// Package program runs the example programs, for their tests.
package program

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

const (
	// patience bounds how long a test waits for a program's output, or for its end. It is far more
	// than any needs, and less than the ten minutes of go test.
	patience = 2 * time.Minute

	// selfEnv makes the test binary run the program instead of the tests.
	selfEnv = "EXAMPLE_RUN_PROGRAM"
)

// Main is the body of TestMain in a program's package. It runs the tests, or the program's main
// function in a process of [Self]. It does not return.
func Main(m *testing.M, main func()) {
	if os.Getenv(selfEnv) != "" {
		main()
		os.Exit(0)
	}
	if to := os.Getenv(keepEnv); to != "" {
		keep(os.Args[1], to)
	}
	labtest.Parallel(12) // they wait for the programs, which wait for packets
	labtest.Main(tests{m}, nil)
}

// Self returns the path of the program whose package is tested. It is the test binary, which saves
// the time to compile the program. [Main] must be in use.
func Self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// A Process is a running program.
type Process struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines chan string // of its standard output; closed at its end

	stdout, stderr bytes.Buffer
	done           chan struct{}
}

// Start starts a command. If it still runs at the end of the test, it is killed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, cmd.Start)
}

// StartIn is Start in a host of a lab.
func StartIn(t testing.TB, host *natlab.Host, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, func() error { return host.Start(cmd) })
}

func start(t testing.TB, cmd *exec.Cmd, begin func() error) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, lines: make(chan string, 1024), done: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &p.stderr
	if exe, err := os.Executable(); err == nil && slices.Contains(append(cmd.Args, cmd.Path), exe) {
		cmd.Env = append(cmd.Environ(), selfEnv+"=1")
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.read(stdout)
		_ = cmd.Wait() // its error is in the process state
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.done
		// The exit status of a program that was killed does not show it.
		if strings.Contains(p.stderr.String(), "WARNING: DATA RACE") {
			t.Errorf("%s: data race", cmd.Path)
		}
		if t.Failed() {
			t.Logf("%s\n%s%s", strings.Join(cmd.Args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

func (p *Process) read(stdout io.Reader) {
	defer close(p.lines)
	s := bufio.NewScanner(io.TeeReader(stdout, &p.stdout))
	for s.Scan() {
		p.lines <- s.Text()
	}
}

// Line waits for a line that contains a text, and returns it.
func (p *Process) Line(containing string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			switch {
			case !ok:
				p.t.Fatalf("%s has ended without saying %q", p.cmd.Path, containing)
			case strings.Contains(line, containing):
				return line
			}
		case <-timeout:
			p.t.Fatalf("%s does not say %q", p.cmd.Path, containing)
		}
	}
}

// Interrupt sends what Ctrl-C sends.
func (p *Process) Interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Wait waits for the program's end, and returns its output.
func (p *Process) Wait() Result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.cmd.Path)
	}
	return Result{p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

// A Result is the output of a program, and its exit status.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Run runs a command to its end.
func Run(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	return Start(t, cmd).Wait()
}

// Find returns the path of a program that the test needs, from a Debian package. Without the
// program the test is skipped, or fails under CI=true.
func Find(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	Skip(t, fmt.Sprintf("%v: install Debian's %s", err, pkg))
	return ""
}

// Skip skips a test for a reason, or fails it under CI=true.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI=true, but ", reason)
	}
	t.Skip(reason)
}

// WantUsage checks that a program refuses each of these argument lists.
func WantUsage(t testing.TB, exe string, arguments ...[]string) {
	t.Helper()
	for _, args := range arguments {
		r := Run(t, exec.Command(exe, args...))
		if r.Status != 2 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
