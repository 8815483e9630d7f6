package main

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// lendTerminal returns what takes the terminal back from a shell that was killed, if it is this
// process's now. Otherwise a script that has started the lab would get no Ctrl-C any more.
func lendTerminal() (takeBack func()) {
	const stdin = 0
	foreground, err := unix.IoctlGetInt(stdin, unix.TIOCGPGRP)
	if err != nil || foreground != unix.Getpgrp() {
		return func() {}
	}
	return func() {
		signal.Ignore(syscall.SIGTTOU) // what a process in the background gets for it
		_ = unix.IoctlSetPointerInt(stdin, unix.TIOCSPGRP, foreground)
	}
}
