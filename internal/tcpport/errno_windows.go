package tcpport

import "golang.org/x/sys/windows"

var (
	refused    = []error{windows.WSAECONNREFUSED, windows.WSAECONNRESET}
	tupleTaken = []error{windows.WSAEADDRINUSE}
	portInUse  = tupleTaken
	short      = []error{windows.WSAEMFILE, windows.WSAENOBUFS}
)
