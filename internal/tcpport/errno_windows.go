package tcpport

import "golang.org/x/sys/windows"

var (
	refused    = []error{windows.WSAECONNREFUSED, windows.WSAECONNRESET}
	tupleTaken = []error{windows.WSAEADDRINUSE}
	portInUse  = tupleTaken
	notLocal   = []error{windows.WSAEADDRNOTAVAIL}
	short      = []error{windows.WSAEMFILE, windows.WSAENOBUFS}
)
