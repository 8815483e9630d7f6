//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package tcpport

// maxSegment returns nil: this system does not let a program bound the size of segments.
func maxSegment(int) Control { return nil }
