package natlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A namespace is a network namespace without a name. A thread of its own keeps it alive and starts
// its child processes, because a child is killed when the thread that forked it ends.
type namespace struct {
	file  *os.File // for other threads to enter by
	calls chan func()
	quit  chan struct{} // closed to end the keeping thread
	done  chan struct{} // closed when it has ended
}

// newNamespace makes a namespace whose only link is a TUN device with these addresses.
func newNamespace(addrs ...netip.Prefix) (*namespace, *os.File, error) {
	ns := &namespace{
		calls: make(chan func()),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	var tun *os.File
	result := make(chan error)
	onThread(func() {
		defer close(ns.done)
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			result <- fmt.Errorf("network namespace: %w", err)
			return
		}
		if ns.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			result <- err
			return
		}
		if tun, err = openTUN(); err == nil {
			if err = configure(addrs); err != nil {
				tun.Close()
			}
		}
		if err != nil {
			ns.file.Close()
			result <- err
			return
		}
		result <- nil
		ns.serve()
	})
	if err := <-result; err != nil {
		<-ns.done
		return nil, nil, err
	}
	return ns, tun, nil
}

func (ns *namespace) serve() {
	for {
		select {
		case f := <-ns.calls:
			f()
		case <-ns.quit:
			return
		}
	}
}

// do runs f on a thread of its own, not on the keeping one, so that a slow f blocks nobody.
func (ns *namespace) do(f func() error) error {
	err := errors.New("natlab: the function called runtime.Goexit")
	done := make(chan struct{})
	onThread(func() {
		defer close(done)
		if enterErr := ns.enter(); enterErr != nil {
			err = enterErr
			return
		}
		err = f()
	})
	<-done
	return err
}

// enter moves the calling thread into the namespace.
func (ns *namespace) enter() error {
	conn, err := ns.file.SyscallConn()
	if err != nil {
		return errClosed
	}
	var setErr error
	if err := conn.Control(func(fd uintptr) { setErr = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return errClosed
	}
	return os.NewSyscallError("setns", setErr)
}

func (ns *namespace) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	result := make(chan error, 1)
	select {
	case ns.calls <- func() { result <- cmd.Start() }:
		return <-result
	case <-ns.quit:
		return errClosed
	}
}

// stop suspends a process, and resume continues it.
func stop(p *os.Process) error   { return p.Signal(unix.SIGSTOP) }
func resume(p *os.Process) error { return p.Signal(unix.SIGCONT) }

func (ns *namespace) close() {
	close(ns.quit)
	<-ns.done
	ns.file.Close()
}

// configure sets up the links of the calling thread's namespace.
func configure(addrs []netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	tun, err := netlink.LinkByName(tunName)
	if err != nil {
		return fmt.Errorf("%s: %w", tunName, err)
	}
	for _, err := range []error{
		netlink.LinkSetMTU(tun, mtu),
		netlink.LinkSetTxQLen(tun, tunQueue),
		netlink.LinkSetUp(tun),
	} {
		if err != nil {
			return fmt.Errorf("%s: %w", tunName, err)
		}
	}
	for _, addr := range addrs {
		if err := addAddr(addr); err != nil {
			return fmt.Errorf("%s: address %v: %w", tunName, addr, err)
		}
		if err := addRoute(tun, addr); err != nil {
			return err
		}
	}
	return nil
}

// addRoute routes everything of an address's family through the TUN device.
func addRoute(tun netlink.Link, addr netip.Prefix) error {
	everywhere := &net.IPNet{
		IP:   make(net.IP, addr.Addr().BitLen()/8),
		Mask: net.CIDRMask(0, addr.Addr().BitLen()),
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: tun.Attrs().Index, Dst: everywhere}); err != nil {
		return fmt.Errorf("%s: route from %v: %w", tunName, addr, err)
	}
	return nil
}

// replaceAddr replaces an IPv4 address of the TUN device in the calling thread's namespace. The
// kernel removes the routes with the old address.
func replaceAddr(old, addr netip.Prefix) error {
	tun, err := netlink.LinkByName(tunName)
	if err != nil {
		return err
	}
	gone, err := netlink.ParseAddr(old.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(tun, gone); err != nil {
		return err
	}
	if err := addAddr(addr); err != nil {
		return err
	}
	return addRoute(tun, addr)
}

// addAddr adds an address to the TUN device of the calling thread's namespace, for use at once.
func addAddr(addr netip.Prefix) error {
	tun, err := netlink.LinkByName(tunName)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   addr.Addr().AsSlice(),
		Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen()),
	}}
	if addr.Addr().Is4() {
		return netlink.AddrAdd(tun, a)
	}
	a.Flags = unix.IFA_F_NODAD // nobody else on the link could have it
	if err := netlink.AddrAdd(tun, a); err != nil {
		return err
	}
	return awaitLocal(addr.Addr())
}

// awaitLocal waits until the kernel accepts packets for an IPv6 address of the calling thread's
// namespace. It arranges that from a work queue, and drops packets before.
func awaitLocal(addr netip.Addr) error {
	// It takes about a millisecond; the limit is for a machine that is busy.
	const interval, limit = time.Millisecond, 20 * time.Second
	for start := time.Now(); ; time.Sleep(interval) {
		routes, err := netlink.RouteGet(addr.AsSlice())
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Since(start) > limit {
			return errors.Join(errors.New("it does not come into use"), err)
		}
	}
}
