package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

// TestEnter: another process joins a running lab, and is ended with it.
func TestEnter(t *testing.T) {
	t.Parallel()
	program.Find(t, "nsenter", "util-linux")
	exe := program.Self(t)
	cmd := lab(t, "--", "sh", "-c", "echo started; read x")
	end, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	running := program.Start(t, cmd)
	running.Line("started")
	pid := fmt.Sprint(cmd.Process.Pid)
	enter := func(args ...string) *exec.Cmd {
		return exec.Command(exe, append([]string{"enter", "-lab", pid}, args...)...)
	}

	r := program.Run(t, enter("bob", "sh", "-c", "echo $LAB_HOST; cat /proc/net/fib_trie; exit 6"))
	if r.Status != 6 || !strings.HasPrefix(r.Stdout, "bob\n") || !strings.Contains(r.Stdout, "10.3.0.1") || r.Stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
	r = program.Run(t, enter("carol"))
	if r.Status != statusFailed || !strings.Contains(r.Stderr, "alice, bob, relay") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	r = program.Run(t, enter("bob", "no-such-command"))
	if r.Status != statusNotFound {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}

	inside := program.Start(t, enter("relay", "sh", "-c", "echo inside; exec sleep 1000"))
	inside.Line("inside")
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if r := inside.Wait(); r.Status != statusFailed || !strings.Contains(r.Stderr, "the lab has ended") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	if r := running.Wait(); r.Status != 1 { // read's
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	if r := program.Run(t, enter("bob")); r.Status != statusFailed || !strings.Contains(r.Stderr, "no lab of this user") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
}

// asNobody runs lab's arguments as an ordinary user, who may open /dev/net/tun. The test must be
// root to become another user. The mount ends with the process.
const asNobody = `set -e
mount --make-rprivate / && mount -t tmpfs lab /mnt || exit 77
mknod /mnt/tun c 10 200
chmod 666 /mnt/tun
mount --bind /mnt/tun /dev/net/tun
cp "$0" /mnt/lab
cd /
exec setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/lab "$@"`

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	unshare := program.Find(t, "unshare", "util-linux")
	program.Find(t, "setpriv", "util-linux")
	if os.Geteuid() != 0 {
		program.Skip(t, "needs root, to be somebody else")
	}
	// It enters itself, from a host and as an ordinary user.
	inner := lab(t, "--", "sh", "-c", "id -u; /mnt/lab enter -lab $PPID bob sh -c 'echo $LAB_HOST; exit 6'")
	r := program.Run(t, exec.Command(unshare, append([]string{"-m", "/bin/sh", "-c", asNobody}, inner.Args...)...))
	if r.Status == 77 {
		program.Skip(t, "needs root of the machine")
	}
	if r.Status != 6 || r.Stdout != "0\nbob\n" {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
}
