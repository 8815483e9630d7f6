package natlab

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f in a goroutine with an OS thread of its own, which f may move into a namespace.
// The thread ends with f.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked: that is what ends the thread
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread cannot end before the process. As long as it is held here, another
		// goroutine gets another thread.
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}
