package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// maxInvitation is more than an invitation has.
const maxInvitation = 16 << 10

// enter runs a command, or a shell, in a host of a lab that runs already.
func enter(args []string) (status int, err error) {
	flags := flag.NewFlagSet("lab enter", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does:     "Enter runs a shell or a command in a host of a running lab: alice, bob or relay. It is ended with the lab.",
		Synopsis: []string{"lab enter [-lab PID] HOST [CMD [ARG...]]"},
		Notes:    variableWords,
	})
	pid := flags.Int("lab", 0, "enter the lab with this process `ID` (default the only one that runs)")
	console.Parse(flags, args, func() error {
		if flags.NArg() == 0 {
			return errors.New("want a host: alice, bob or relay")
		}
		return nil
	})
	c, err := findDoor(*pid)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	i, namespaces, err := readInvitation(c)
	defer func() {
		for _, f := range namespaces {
			f.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
	cmd, err := i.command(namespaces, flags.Arg(0), flags.Args()[1:])
	if err != nil {
		return 0, err
	}
	return runInside(cmd, c)
}

// findDoor connects to the door of a lab of this user: with that process ID, or the only one.
func findDoor(pid int) (*net.UnixConn, error) {
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	var open []*net.UnixConn
	var pids []string
	for _, word := range strings.Fields(string(sockets)) {
		id, ok := strings.CutPrefix(word, doorPrefix)
		if !ok || slices.Contains(pids, id) || pid != 0 && id != fmt.Sprint(pid) {
			continue
		}
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: word, Net: "unix"})
		if err != nil {
			continue // it has just ended, or is a connection
		}
		if uid, err := peerUser(c); err != nil || uid != os.Geteuid() {
			c.Close() // another user's
			continue
		}
		open, pids = append(open, c), append(pids, id)
	}
	if len(open) == 1 {
		return open[0], nil
	}
	for _, c := range open {
		c.Close()
	}
	switch {
	case len(open) > 1:
		return nil, fmt.Errorf("several labs are running: choose one with -lab %s", strings.Join(pids, " or -lab "))
	case pid != 0:
		return nil, fmt.Errorf("no lab of this user has the process ID %d", pid)
	}
	return nil, errors.New("no lab of this user is running: start one with lab, in another terminal")
}

// readInvitation reads what a door gives.
func readInvitation(c *net.UnixConn) (i invitation, namespaces []*os.File, err error) {
	b, rights := make([]byte, maxInvitation), make([]byte, unix.CmsgSpace(4*8))
	n, rightsN, _, _, err := c.ReadMsgUnix(b, rights)
	if n == 0 || err != nil {
		return i, nil, errors.New("the lab has just ended")
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsN])
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m) // fewer are noticed below
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			namespaces = append(namespaces, os.NewFile(uintptr(fd), "namespace"))
		}
	}
	if err = errors.Join(err, json.Unmarshal(b[:n], &i)); err != nil {
		return i, namespaces, fmt.Errorf("enter the lab: %w", err)
	}
	if len(namespaces) != 1+len(i.Hosts) || len(i.Env) != len(i.Hosts) {
		return i, namespaces, errors.New("enter the lab: it is of another version")
	}
	return i, namespaces, nil
}

// command returns a command that runs in a host. A program of one thread has to enter a user
// namespace, which none in Go is: nsenter does.
func (i invitation) command(namespaces []*os.File, host string, args []string) (*exec.Cmd, error) {
	n := slices.Index(i.Hosts, host)
	if n < 0 {
		return nil, fmt.Errorf("no host %q: want one of %s", host, strings.Join(i.Hosts, ", "))
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, fmt.Errorf("%w: install util-linux", err)
	}
	if len(args) == 0 {
		args = []string{shell()}
	}
	path, err := exec.LookPath(args[0]) // nsenter's own status says less
	if err != nil {
		return nil, &startError{err}
	}
	args = append([]string{path}, args[1:]...)
	enter := []string{"--net=/proc/self/fd/3"}
	if !sameUserNamespace(namespaces[0]) {
		enter = append(enter, "--user=/proc/self/fd/4", "--preserve-credentials")
	}
	cmd := exec.Command(nsenter, append(append(enter, "--"), args...)...)
	cmd.ExtraFiles = []*os.File{namespaces[1+n], namespaces[0]}
	cmd.Env = append(os.Environ(), i.Env[n]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd, nil
}

func sameUserNamespace(f *os.File) bool {
	own, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return false
	}
	its, err := f.Stat()
	return err == nil && os.SameFile(own, its)
}

// runInside runs a command until it ends, or the lab does.
func runInside(cmd *exec.Cmd, door *net.UnixConn) (status int, err error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, &startError{err}
	}
	ended, labEnded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the state says it all
	}()
	go func() {
		defer close(labEnded)
		_, _ = door.Read(make([]byte, 1)) // nothing more comes
	}()
	defer func() {
		door.Close()
		<-labEnded
	}()
	defer lendTerminal()()
	var patience <-chan time.Time
	over := labEnded
	for {
		select {
		case <-ended:
			if patience != nil {
				return 0, errors.New("the lab has ended")
			}
			return exitStatus(cmd.ProcessState), nil
		case s := <-signals:
			if !natlab.FromTerminal(s) { // else the command has it, too
				_ = cmd.Process.Signal(s)
			}
		case <-over:
			_ = cmd.Process.Signal(syscall.SIGHUP) // an interactive shell ignores SIGTERM
			patience = time.After(endTime)
			over = nil
		case <-patience:
			_ = cmd.Process.Kill()
			patience = make(chan time.Time)
		}
	}
}
