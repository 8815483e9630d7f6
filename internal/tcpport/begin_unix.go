//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Begin sends a SYN to remote and returns when the SYN has left. The connect goes on until the
// Closer is closed.
//
// [Port.Connect] does not report when its SYN leaves. Begin is for callers that need something
// else to happen after that.
func (p *Port) Begin(remote netip.AddrPort) (io.Closer, error) {
	family := unix.AF_INET6
	var local, to unix.Sockaddr
	if ip := remote.Addr().Unmap(); ip.Is4() {
		family = unix.AF_INET
		local = &unix.SockaddrInet4{Port: int(p.number)}
		to = &unix.SockaddrInet4{Port: int(remote.Port()), Addr: ip.As4()}
	} else {
		local = &unix.SockaddrInet6{Port: int(p.number)}
		to = &unix.SockaddrInet6{Port: int(remote.Port()), Addr: ip.As16()}
	}
	// Not all of these systems can set close-on-exec as they make a socket.
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
	)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, local))
	}
	if err == nil {
		if err = unix.Connect(fd, to); err == nil || errors.Is(err, unix.EINPROGRESS) {
			return begun(fd), nil
		}
		err = os.NewSyscallError("connect", err)
	}
	unix.Close(fd)
	return nil, err
}

// begun is the descriptor of a connect that goes on.
type begun int

func (b begun) Close() error { return unix.Close(int(b)) }
