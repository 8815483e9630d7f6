package main

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
	// killAfter is how long an actor may take to end when it is told to.
	killAfter = 3 * time.Second

	maxComplaint = 4 << 10 // bytes
)

// An actor is a child process with a role.
type actor struct {
	name     string
	messages chan message // closed when it has ended
	stop     func()       // ends it, and waits until it has
	err      error        // how it ended; valid when messages is closed
}

// startActor starts a process with start, in a role. When ctx ends it ends, too.
func startActor(ctx context.Context, start func(*exec.Cmd) error, r role) (*actor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), roleEnv+"="+string(spec))
	complaint := new(complaint)
	cmd.Stderr = complaint
	if r.Verbose {
		cmd.Stderr = os.Stderr
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
	a := &actor{name: r.Name, messages: make(chan message)}
	ended := make(chan struct{})
	a.stop = func() {
		cancel()
		<-ended
	}
	go func() {
		defer close(ended)
		a.listen(ctx, stdout)
		err := cmd.Wait()
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
func (a *actor) listen(ctx context.Context, stdout io.Reader) {
	decoder := json.NewDecoder(stdout)
	for {
		var m message
		if decoder.Decode(&m) != nil {
			return
		}
		select {
		case a.messages <- m:
		case <-ctx.Done(): // nobody listens any more
		}
	}
}

// next is the actor's next message.
func (a *actor) next(ctx context.Context) (message, error) {
	select {
	case m, ok := <-a.messages:
		if !ok {
			return message{}, a.err
		}
		return m, nil
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
}

// A complaint is the beginning of what a process writes to its standard error.
// The rest of a panic is of no use to the person who looks on.
type complaint struct{ text []byte }

func (c *complaint) Write(b []byte) (int, error) {
	c.text = append(c.text, b[:min(len(b), maxComplaint-len(c.text))]...)
	return len(b), nil
}

func (c *complaint) firstLine() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(c.text)), "\n")
	return line
}
