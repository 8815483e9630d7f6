package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const (
	// endTime is how long a command may take to end when the lab does.
	endTime = 2 * time.Second

	// outputTime is how long what a command has left behind may hold its output.
	outputTime = 500 * time.Millisecond
)

// A command is one that runs in a host.
type command struct {
	host   *natlab.Host
	cmd    *exec.Cmd
	leads  bool
	output [2]*labelled   // nil: the lab's own
	ending syscall.Signal // asks it to end
	done   chan struct{}  // closed when it has ended
	ended  atomic.Bool    // by the lab
}

// newCommand makes a command. With a label, each line of its output begins with the host's name.
func newCommand(host *natlab.Host, label bool, args ...string) *command {
	c := &command{host: host, cmd: exec.Command(args[0], args[1:]...), ending: syscall.SIGTERM, done: make(chan struct{})}
	c.cmd.WaitDelay = outputTime
	c.cmd.Stdout, c.cmd.Stderr = os.Stdout, os.Stderr
	if label {
		c.output = [2]*labelled{newLabelled(os.Stdout, host.Name()), newLabelled(os.Stderr, host.Name())}
		c.cmd.Stdout, c.cmd.Stderr = c.output[0], c.output[1]
	}
	// It gets its own process group, so that a Ctrl-C reaches only the leading command.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// newShell makes a command that is the user's shell.
func newShell(host *natlab.Host) *command {
	c := newCommand(host, false, shell())
	c.ending = syscall.SIGHUP // an interactive shell ignores SIGTERM
	return c
}

func shell() string {
	if s := os.Getenv("SHELL"); filepath.IsAbs(s) {
		return s
	}
	return "/bin/sh"
}

// lead makes the command the one that the terminal is for.
func (c *command) lead() {
	c.leads = true
	c.cmd.Stdin = os.Stdin
	c.cmd.SysProcAttr = nil
}

// start starts the command with these environment variables besides the lab's own.
func (c *command) start(env []string) error {
	c.cmd.Env = append(os.Environ(), env...)
	if err := c.host.Start(c.cmd); err != nil {
		return err
	}
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // the state says it all
		for _, w := range c.output {
			if w != nil {
				_ = w.flush() // as with the lines before
			}
		}
		if status := c.status(); status != 0 && !c.leads && !c.ended.Load() {
			fmt.Fprintf(os.Stderr, "lab: the command at %s's has ended with status %d\n", c.host.Name(), status)
		}
	}()
	return nil
}

// status returns the exit status of a command that has ended, as a shell has it.
func (c *command) status() int { return exitStatus(c.cmd.ProcessState) }

func exitStatus(p *os.ProcessState) int {
	if s := p.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal())
	}
	return p.ExitCode()
}

// end ends the command, and waits until it has ended.
func (c *command) end() {
	select {
	case <-c.done:
		return
	default:
	}
	c.ended.Store(true)
	to := c.cmd.Process.Pid
	if !c.leads {
		to = -to // with its group
	}
	_ = unix.Kill(to, c.ending) // it may just have ended
	select {
	case <-c.done:
	case <-time.After(endTime):
		_ = unix.Kill(to, unix.SIGKILL)
		<-c.done
	}
}
