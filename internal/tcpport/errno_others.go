//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || windows)

package tcpport

// No port can be shared here; see share.
var refused, tupleTaken, portInUse, notLocal, short []error
