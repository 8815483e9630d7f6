//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"runtime"

	"golang.org/x/sys/unix"
)

var (
	refused   = []error{unix.ECONNREFUSED, unix.ECONNRESET}
	portInUse = []error{unix.EADDRINUSE}
	notLocal  = []error{unix.EADDRNOTAVAIL}
	short     = []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}
)

// tupleTaken is how connect(2) fails when the 4-tuple is in the table of established connections:
// on Linux with EADDRNOTAVAIL, on the BSDs and macOS with EADDRINUSE.
var tupleTaken = func() []error {
	if runtime.GOOS == "linux" {
		return []error{unix.EADDRNOTAVAIL}
	}
	return portInUse
}()
