// Package actor runs this program again as child processes that play a role in a lab, or on
// loopback, and talk to it in JSON.
//
//	func main() {
//		actor.Main(play) // does not return in an actor
//		...
//		a, err := actor.Start[message](ctx, host.Start, actor.Role{Name: "bob", Spec: spec})
//		m, err := a.Next(ctx)
//
// An actor ends when its standard input does, which is also when the program dies that has started
// it.
package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// killAfter is how long an actor may take to end when it is asked to.
	killAfter = 3 * time.Second

	maxComplaint = 4 << 10 // bytes

	raceStatus = 66 // exit status of a program with a data race, as the race detector has it
)

// A Role is what an actor's process has to do.
type Role struct {
	Name string
	Spec any       // in JSON, for [Self.Spec]
	Log  io.Writer // takes the standard error; if nil, its first line explains why the actor failed
}

// An Actor is a child process with a role. Its messages are of type M.
type Actor[M any] struct {
	Process *os.Process

	name     string
	messages chan M // closed when it has ended
	in       *json.Encoder
	cancel   context.CancelFunc
	ended    chan struct{}
	err      error // how it ended; valid when messages is closed
}

// Start starts a process with start, in a role. When ctx ends it ends, too.
func Start[M any](ctx context.Context, start func(*exec.Cmd) error, r Role) (*Actor[M], error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(r.Spec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), roleEnv+"="+string(spec))
	complaint := new(complaint)
	cmd.Stderr = complaint
	if r.Log != nil {
		cmd.Stderr = r.Log
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Cancel, cmd.WaitDelay = stdin.Close, killAfter
	if err := start(cmd); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", r.Name, err)
	}
	a := &Actor[M]{
		Process:  cmd.Process,
		name:     r.Name,
		messages: make(chan M),
		in:       json.NewEncoder(stdin),
		cancel:   cancel,
		ended:    make(chan struct{}),
	}
	go func() {
		defer close(a.ended)
		a.listen(ctx, stdout)
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() == raceStatus { // also where nobody asks how it ended
			_, _ = os.Stderr.Write(complaint.text)
		}
		if said := complaint.firstLine(); said != "" {
			a.err = fmt.Errorf("%s: %s", a.name, said)
		} else {
			a.err = fmt.Errorf("%s has ended too early: %v", a.name, err)
		}
		close(a.messages)
	}()
	return a, nil
}

// listen takes messages until the process ends.
func (a *Actor[M]) listen(ctx context.Context, stdout io.Reader) {
	decoder := json.NewDecoder(stdout)
	for {
		var m M
		if decoder.Decode(&m) != nil {
			return
		}
		select {
		case a.messages <- m:
		case <-ctx.Done(): // messages are not read any more
		}
	}
}

// Next returns the actor's next message.
func (a *Actor[M]) Next(ctx context.Context) (M, error) {
	select {
	case m, ok := <-a.messages:
		if !ok {
			return m, a.err
		}
		return m, nil
	case <-ctx.Done():
		var none M
		return none, ctx.Err()
	}
}

// Tell sends the actor a message, which it reads with [Self.Hear].
func (a *Actor[M]) Tell(m any) error {
	if err := a.in.Encode(m); err != nil {
		return fmt.Errorf("%s does not listen: %w", a.name, err)
	}
	return nil
}

// Ignore takes what the actor goes on to say, until it ends.
func (a *Actor[M]) Ignore() {
	for range a.messages {
	}
}

// Stop ends the actor, and waits until it has ended.
func (a *Actor[M]) Stop() {
	a.cancel()
	<-a.ended
}

// A complaint is the beginning of what a process writes to its standard error. The rest of a panic
// is of no use to the user.
type complaint struct{ text []byte }

func (c *complaint) Write(b []byte) (int, error) {
	c.text = append(c.text, b[:min(len(b), maxComplaint-len(c.text))]...)
	return len(b), nil
}

func (c *complaint) firstLine() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(c.text)), "\n")
	return line
}
