package labtest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const (
	// patience is how long a test waits for a child at most. It is far more than anything in a lab
	// takes, and less than the ten minutes that go test gives.
	patience = time.Minute
	// reserve is how long before the end of the test waiting gives up, so that the test can still
	// say what it has waited for.
	reserve = 2 * time.Second
)

// raceReport is how a report of the race detector begins.
const raceReport = "WARNING: DATA RACE"

// A Proc is a child process, seen from its parent.
type Proc struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	enc    *json.Encoder
	events chan json.RawMessage // closed at the end of the child's output

	over   chan struct{} // closed when the test is over: events are not read any more
	exited chan struct{} // closed when the process is gone and its output read
	err    error         // how it ended, once exited is closed
}

// Start starts the test binary in a host, in a role and with a configuration that [Child.Config]
// reads. It is killed at the end of the test.
func Start(t testing.TB, host *natlab.Host, role string, cfg any) *Proc {
	t.Helper()
	return startRole(t, host.Name()+"/"+role, role, cfg, host.Start)
}

// StartCommand starts another program in a host. The program writes events as a child does, and
// gets no configuration.
func StartCommand(t testing.TB, host *natlab.Host, cmd *exec.Cmd) *Proc {
	t.Helper()
	return start(t, host.Name()+"/"+filepath.Base(cmd.Path), cmd, host.Start)
}

// StartOutside is Start on the machine itself, outside of any lab.
func StartOutside(t testing.TB, role string, cfg any) *Proc {
	t.Helper()
	return startRole(t, role, role, cfg, (*exec.Cmd).Start)
}

func startRole(t testing.TB, name, role string, cfg any, begin func(*exec.Cmd) error) *Proc {
	t.Helper()
	// The path works in any mount namespace, and for a binary that was deleted meanwhile.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	p := start(t, name, cmd, begin)
	p.Send(t, cfg)
	return p
}

func start(t testing.TB, name string, cmd *exec.Cmd, begin func(*exec.Cmd) error) *Proc {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &Proc{
		name:   name,
		cmd:    cmd,
		stdin:  stdin,
		enc:    json.NewEncoder(stdin),
		events: make(chan json.RawMessage, 64),
		over:   make(chan struct{}),
		exited: make(chan struct{}),
	}
	if err := begin(cmd); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	var output sync.WaitGroup
	output.Go(func() { p.readEvents(t, stdout) })
	output.Go(func() { p.log(t, stderr) })
	go func() {
		output.Wait() // before Wait, which closes the pipes
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		close(p.over)
		p.Kill()
		stdin.Close()
	})
	return p
}

// Next reads the next event into v. The test fails if the child ends first, or the test's time is
// over.
func (p *Proc) Next(t testing.TB, v any) {
	t.Helper()
	select {
	case event, ok := <-p.events:
		if !ok {
			<-p.exited
			t.Fatalf("%s: has ended without a further event: %v", p.name, p.state())
		}
		if err := json.Unmarshal(event, v); err != nil {
			t.Fatalf("%s: event %s: %v", p.name, event, err)
		}
	case <-time.After(timeLeft(t)):
		t.Fatalf("%s: no event in time", p.name)
	}
}

// Events returns the channel that [Proc.Next] reads from, for tests that wait for several children.
// It is closed at the end of the child's output.
func (p *Proc) Events() <-chan json.RawMessage { return p.events }

// Send sends a value to the child, which reads it with [Child.Receive].
func (p *Proc) Send(t testing.TB, v any) {
	t.Helper()
	if err := p.enc.Encode(v); err != nil {
		t.Fatalf("%s: send: %v", p.name, err)
	}
}

// Wait closes the child's input and waits for its end. The error is that of [exec.Cmd.Wait]: nil if
// the role returned none.
func (p *Proc) Wait(t testing.TB) error {
	t.Helper()
	p.stdin.Close()
	select {
	case <-p.exited:
		return p.err
	case <-time.After(timeLeft(t)):
		t.Fatalf("%s: does not end", p.name)
		return nil
	}
}

// Kill ends the child as a crash would, and waits until it is gone.
func (p *Proc) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// Hold suspends the child for d; see [natlab.Hold].
func (p *Proc) Hold(d time.Duration) error { return natlab.Hold(p.cmd.Process, d) }

// Abort makes the child write the stacks of all its goroutines to the test's log, and end.
func (p *Proc) Abort() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	<-p.exited
}

func (p *Proc) state() string { return p.cmd.ProcessState.String() }

// readEvents delivers lines of JSON as events, and logs other lines.
func (p *Proc) readEvents(t testing.TB, r io.Reader) {
	defer close(p.events)
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		switch {
		case json.Valid(line):
			select {
			case p.events <- line:
			case <-p.over:
			}
		case len(line) > 0:
			t.Logf("%s: %s", p.name, line)
		}
		if err != nil {
			return
		}
	}
}

// log logs lines of the child's standard error. The test fails if one is of the race detector: most
// children are killed, and so have no exit status that shows a race.
func (p *Proc) log(t testing.TB, r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.Logf("%s: %s", p.name, line)
		}
		if strings.HasPrefix(line, raceReport) {
			t.Errorf("%s: data race", p.name)
		}
		if err != nil {
			return
		}
	}
}

// timeLeft returns how long the test may wait.
func timeLeft(t testing.TB) time.Duration {
	left := patience
	if t, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok {
			left = min(left, time.Until(deadline)-reserve)
		}
	}
	return left
}
