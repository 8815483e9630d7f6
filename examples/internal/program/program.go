// Package program builds and runs the example programs, for their tests.
package program

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// patience is how long a test waits for what a program says, or for its end. It is
// far more than any needs, and less than the ten minutes that go test gives.
const patience = 2 * time.Minute

// Build compiles the package in a directory, with the race detector if the test has it,
// and returns the program's path.
func Build(t *testing.T, dir string) string {
	t.Helper()
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), filepath.Base(abs))
	args := []string{"build", "-o", exe}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, abs)...).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", dir, err, out)
	}
	return exe
}

// A Process is a program that runs.
type Process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // of its standard output; closed at its end

	stdout, stderr bytes.Buffer
	done           chan struct{}
}

// Start starts a command. At the end of the test it is killed if it still runs.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, cmd.Start)
}

// StartIn is Start in a host of a lab.
func StartIn(t *testing.T, host *natlab.Host, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, func() error { return host.Start(cmd) })
}

func start(t *testing.T, cmd *exec.Cmd, begin func() error) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, lines: make(chan string, 1024), done: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &p.stderr
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.read(stdout)
		_ = cmd.Wait() // the state says it all
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.done
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

// Interrupt does what Ctrl-C does.
func (p *Process) Interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Wait waits for the program's end.
func (p *Process) Wait() Result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.cmd.Path)
	}
	return Result{p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

// A Result is what a program has said, and its exit status.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Run runs a command to its end.
func Run(t *testing.T, cmd *exec.Cmd) Result {
	t.Helper()
	return Start(t, cmd).Wait()
}

// Find returns the path of a program that the test needs, and that a Debian package
// has. Without it the test is skipped and says so; with CI=true it fails instead.
func Find(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, but %v: install Debian's %s", err, pkg)
	}
	t.Skipf("%v: install Debian's %s", err, pkg)
	return ""
}

// WantUsage runs a program with each of these arguments, which it has to refuse.
func WantUsage(t *testing.T, exe string, arguments ...[]string) {
	t.Helper()
	for _, args := range arguments {
		r := Run(t, exec.Command(exe, args...))
		if r.Status != 2 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
