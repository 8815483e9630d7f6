package natlab

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the child process of Enter.
const insideEnv = "NATLAB_USER_NAMESPACE"

func enter() error {
	_, inside := os.LookupEnv(insideEnv)
	os.Unsetenv(insideEnv)
	if err := probeTUN(); err != nil {
		return err
	}
	err := probeNamespace()
	if err == nil {
		return nil
	}
	if inside {
		return &UnavailableError{
			Reason: "user namespaces give no rights on this machine",
			Remedy: "run it with sudo, or see kernel.apparmor_restrict_unprivileged_userns",
			Err:    err,
		}
	}
	return reexec()
}

// probe checks whether this process can have a lab.
func probe() error {
	if err := probeTUN(); err != nil {
		return err
	}
	if err := probeNamespace(); err != nil {
		return &UnavailableError{
			Reason: "no right to make network namespaces",
			Remedy: "call Enter first, or run it with sudo",
			Err:    err,
		}
	}
	return nil
}

// probeTUN opens the device. A user namespace gives no further right to it.
func probeTUN() error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		unix.Close(fd)
		return nil
	case errors.Is(err, os.ErrPermission):
		return &UnavailableError{Reason: tunPath + " is closed to this user", Remedy: "run it with sudo"}
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO):
		return &UnavailableError{Reason: tunPath + " is missing", Remedy: "load it with sudo modprobe tun"}
	default:
		return &UnavailableError{Reason: "cannot open " + tunPath, Err: err}
	}
}

// probeNamespace makes a namespace with a TUN device, which are gone on return.
func probeNamespace() error {
	result := make(chan error, 1)
	onThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- os.NewSyscallError("unshare", err)
			return
		}
		tun, err := openTUN(uplink)
		if err == nil {
			tun.Close()
		}
		result <- err
	})
	return <-result
}

// reexec runs the program again as root of a new user namespace, and ends with it. It returns only
// if that cannot be done.
func reexec() error {
	// The death signal is for the end of this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2)
	if err := cmd.Start(); err != nil {
		signal.Stop(signals)
		return &UnavailableError{
			Reason: "neither root nor allowed to make a user namespace",
			Remedy: "run it with sudo",
			Err:    err,
		}
	}
	go func() {
		for s := range signals {
			if !FromTerminal(s) {
				_ = cmd.Process.Signal(s) // it may just have ended
			}
		}
	}()
	_ = cmd.Wait() // the state says it all
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		os.Exit(128 + int(status.Signal())) // as a shell reports it
	}
	os.Exit(status.ExitStatus())
	return nil
}

// FromTerminal reports whether a signal that this process has got has come from the keyboard. The
// children in its process group have then got it as well.
func FromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
