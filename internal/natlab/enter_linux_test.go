package natlab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// helperEnv makes TestEnterHelper do something.
const helperEnv = "NATLAB_ENTER_HELPER"

// TestEnterHelper is what an ordinary user runs in the tests below: it uses a lab of each kind,
// says "ready", waits for a signal and exits with status 7.
func TestEnterHelper(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		t.SkipNow()
	}
	for _, bridge := range []bool{false, true} {
		lab := labtest.New(t, natlab.Config{Bridge: bridge})
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel-rst")})
		go serveRemote(listen(t, server, 80))
		dialAndRead(t, home, netip.AddrPortFrom(home.Addr(), 0), netip.AddrPortFrom(server.Addr(), 80))
		home.Site().ResetNAT()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Println("ready")
	<-signals
	os.Exit(7)
}

// skip skips a test, but fails it where nothing is to be skipped.
func skip(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// startHelper starts TestEnterHelper as nobody, on a machine whose TUN device has a mode.
func startHelper(t *testing.T, tunMode os.FileMode) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root, to be somebody else")
	}
	labtest.Require(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEnterHelper$", "-test.v")
	cmd.Env = append(os.Environ(), helperEnv+"=1", "CI=true")
	cmd.Stderr = os.Stderr
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	dev := t.TempDir()
	result := make(chan error)
	go func() {
		// The child inherits the mount namespace of this thread, which ends with the goroutine.
		runtime.LockOSThread()
		err := mountTUN(dev, tunMode)
		if err == nil {
			err = cmd.Start()
		}
		result <- err
	}()
	switch err := <-result; {
	case errors.Is(err, syscall.EPERM):
		skip(t, "needs root of the machine: ", err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewReader(out)
}

// mountTUN puts a device of our own in the place of the machine's, for the calling thread.
func mountTUN(dir string, mode os.FileMode) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("natlab", dir, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	tun := filepath.Join(dir, "tun")
	if err := unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	if err := os.Chmod(tun, mode); err != nil { // Mknod is subject to the umask
		return err
	}
	return unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, "")
}

// awaitReady reads up to the line "ready".
func awaitReady(t *testing.T, r *bufio.Reader) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if line == "ready\n" {
			return
		}
		if err != nil {
			t.Fatalf("not ready: %v", err)
		}
	}
}

func TestEnterAsOrdinaryUser(t *testing.T) {
	cmd, out := startHelper(t, 0o666)
	awaitReady(t, out)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v, want the child's exit status 7", err)
	}
}

func TestEnterIsKilled(t *testing.T) {
	cmd, out := startHelper(t, 0o666)
	awaitReady(t, out)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// This ends only when the process in the user namespace is gone too.
	_, _ = io.Copy(io.Discard, out)
}

func TestEnterWithoutTUN(t *testing.T) {
	_, out := startHelper(t, 0o600)
	said, err := io.ReadAll(out)
	if want := "/dev/net/tun is closed to this user; run it with sudo\n"; err != nil || !strings.Contains(string(said), want) {
		t.Errorf("%v: got\n%swant %s", err, said, want)
	}
}
