package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// doorPrefix begins the names of the sockets at which running labs are entered. They are abstract:
// not in the file system, and gone with the process. Each network namespace has its own: there is
// one outside, and one in each host.
const doorPrefix = "@simopen-lab-"

// An invitation is what a door gives: how commands run in the hosts. With it come descriptors, of
// the lab's user namespace and of each host's network namespace.
type invitation struct {
	Hosts []string
	Env   [][]string // of each host
}

// A door lets other processes of this user run commands in the hosts.
type door struct {
	listeners  []*net.UnixListener
	namespaces []*os.File
	message    []byte

	serving sync.WaitGroup
	mu      sync.Mutex
	conns   map[*net.UnixConn]bool // nil: closed
}

// openDoor opens the door of a lab.
func openDoor(l *laboratory) (*door, error) {
	d := &door{conns: make(map[*net.UnixConn]bool)}
	if err := d.open(l); err != nil {
		d.close()
		return nil, fmt.Errorf("what lab enter needs: %w", err)
	}
	for _, listener := range d.listeners {
		d.serving.Go(func() { d.accept(listener) })
	}
	return d, nil
}

func (d *door) open(l *laboratory) error {
	err := errors.Join(d.keep("/proc/self/ns/user"), d.listen())
	var i invitation
	for _, h := range l.hosts() {
		err = errors.Join(err, h.Do(func() error {
			return errors.Join(d.keep("/proc/thread-self/ns/net"), d.listen())
		}))
		i.Hosts, i.Env = append(i.Hosts, h.Name()), append(i.Env, l.environment(h))
	}
	if err == nil {
		d.message, err = json.Marshal(i)
	}
	return err
}

// keep keeps a namespace.
func (d *door) keep(name string) error {
	f, err := os.Open(name)
	if err == nil {
		d.namespaces = append(d.namespaces, f)
	}
	return err
}

// listen listens in the calling thread's network namespace.
func (d *door) listen() error {
	name := fmt.Sprintf("%s%d", doorPrefix, os.Getpid())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err == nil {
		d.listeners = append(d.listeners, l)
	}
	return err
}

func (d *door) accept(listener *net.UnixListener) {
	for {
		c, err := listener.AcceptUnix()
		if err != nil {
			return // closed
		}
		d.mu.Lock()
		if d.conns == nil {
			c.Close()
		} else {
			d.conns[c] = true
			d.serving.Go(func() { d.serve(c) })
		}
		d.mu.Unlock()
	}
}

// serve invites a process of this user, and keeps the connection while that runs.
func (d *door) serve(c *net.UnixConn) {
	defer func() {
		d.mu.Lock()
		delete(d.conns, c)
		d.mu.Unlock()
		c.Close()
	}()
	if uid, err := peerUser(c); err != nil || uid != os.Geteuid() {
		return // an abstract socket has no permissions
	}
	var fds []int
	for _, f := range d.namespaces {
		fds = append(fds, int(f.Fd()))
	}
	if _, _, err := c.WriteMsgUnix(d.message, unix.UnixRights(fds...), nil); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c)
}

// close closes the door. Commands inside notice.
func (d *door) close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
	d.mu.Lock()
	for c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
	d.mu.Unlock()
	d.serving.Wait()
	for _, f := range d.namespaces {
		_ = f.Close()
	}
}

// peerUser returns the user at the other end of a connection, as seen in this user namespace.
func peerUser(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	if e := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}
