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
	family, network := unix.AF_INET6, "tcp6"
	var local, to unix.Sockaddr
	if ip := remote.Addr().Unmap(); ip.Is4() {
		family, network = unix.AF_INET, "tcp4"
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
	nonblock := unix.SetNonblock(fd, true) // before NewFile, which looks
	socket := os.NewFile(uintptr(fd), "socket")
	raw, err := socket.SyscallConn()
	if err = errors.Join(nonblock, err); err == nil {
		err = p.control(network, remote.String(), raw)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, local))
	}
	if err == nil {
		if err = unix.Connect(fd, to); err == nil || errors.Is(err, unix.EINPROGRESS) {
			return socket, nil
		}
		err = os.NewSyscallError("connect", err)
	}
	socket.Close()
	return nil, err
}
