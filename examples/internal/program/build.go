package program

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// keepEnv makes the test binary copy the program in its first argument to this path.
const keepEnv = "EXAMPLE_KEEP_PROGRAM"

// builds are the programs of [Build].
var builds struct {
	mu       sync.Mutex
	dir      string                                    // where they are until the tests have ended; "" for nowhere yet
	programs map[string]func() (exe string, err error) // by their packages' directories
}

// Build compiles the package in a directory, with the race detector if the test has it, and returns
// the program's path. The tests of a package share the program. [Main] must be in use.
func Build(t testing.TB, dir string) string {
	t.Helper()
	builds.mu.Lock()
	if builds.programs == nil {
		builds.programs = make(map[string]func() (string, error))
	}
	built := builds.programs[dir]
	if built == nil {
		built = sync.OnceValues(func() (string, error) { return build(dir) })
		builds.programs[dir] = built
	}
	builds.mu.Unlock()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// build compiles by "go run", which finds linked programs in the build cache, unlike "go build":
// the tests of several packages need the same ones. In place of the program it runs this test
// binary, which keeps a copy.
func build(dir string) (exe string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	into, err := buildDir()
	if err != nil {
		return "", err
	}
	exe = filepath.Join(into, filepath.Base(abs))
	args := []string{"run", "-exec", "'" + self + "'"}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, abs)...)
	cmd.Env = append(cmd.Environ(), keepEnv+"="+exe)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", dir, err, out)
	}
	return exe, nil
}

// buildDir returns the directory for programs. [tests] removes it.
func buildDir() (dir string, err error) {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if builds.dir == "" {
		builds.dir, err = os.MkdirTemp("", "simopen-programs-")
	}
	return builds.dir, err
}

// keep copies a program to where Build wants it, and ends the process.
func keep(exe, to string) {
	err := copyProgram(exe, to)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func copyProgram(exe, to string) error {
	from, err := os.Open(exe)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// tests are those of a package. What they have built is removed in the end.
type tests struct{ *testing.M }

func (t tests) Run() (status int) {
	status = t.M.Run()
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if builds.dir != "" {
		os.RemoveAll(builds.dir)
	}
	return status
}
