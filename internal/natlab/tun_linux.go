package natlab

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	tunPath = "/dev/net/tun"
	// tunQueue is how many packets a host may send while the lab's process waits for a CPU. What
	// overflows is lost, although no loss was configured.
	tunQueue = 10000
)

// openTUN makes a TUN device in the calling thread's namespace. Each read or write is one IP
// packet. The file is nonblocking, so that closing it ends a read.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: tunPath, Err: err}
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	return os.NewFile(uintptr(fd), tunPath), nil
}
