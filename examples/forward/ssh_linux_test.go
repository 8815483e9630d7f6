package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// testSSH: OpenSSH works through a local port, and as its ProxyCommand.
func testSSH(t *testing.T, exes exes) {
	requireRoot(t)
	sshd, ssh := program.Find(t, "/usr/sbin/sshd", "openssh-server"), program.Find(t, "ssh", "openssh-client")
	s := newLabStage(t, exes, natlab.Config{}, "eim-apdf-rst", "eim-apdf-rst")
	s.startRelay(t)
	dir := t.TempDir()
	startSSHD(t, s, sshd, dir)
	const metrics = "127.0.0.1:9100"
	server, id := s.startServe(t, "-to", "127.0.0.1:22", "-metrics", metrics)
	_, local := s.startDial(t, id)
	_, port, _ := net.SplitHostPort(local)

	data := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
	want := fmt.Sprintf("%x", sha256.Sum256(data))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"local":        {"-p", port},
		"ProxyCommand": {"-o", "ProxyCommand=" + strings.Join(append([]string{s.exe}, s.dialArgs("-stdio", id)...), " ")},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-F", "none", "-T", "-i", filepath.Join(dir, "client"),
				"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-l", me.Username}, args...)
			cmd := exec.Command(ssh, append(args, "127.0.0.1", "sha256sum; exit 7")...)
			cmd.Stdin = bytes.NewReader(data)
			r := s.start(t, away, cmd).Wait()
			if r.Status != 7 || r.Stderr != "" || !strings.HasPrefix(r.Stdout, want) {
				t.Errorf("status %d, stdout %q, stderr %q; want 7 and %s", r.Status, r.Stdout, r.Stderr, want)
			}
		})
	}
	// A client that has its answer ends before sshd does.
	isOpen := regexp.MustCompile(`(?m)^forward_connections\{.*\} [1-9]`)
	for until := time.Now().Add(time.Minute); isOpen.MatchString(get(t, s.client(atHome), metrics+"/metrics")); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("a session does not end at the service")
		}
	}
	server.Interrupt()
	if r := server.Wait(); strings.Contains(r.Stdout, "was cut") {
		t.Errorf("sessions that ended by themselves were cut:\n%s", r.Stdout)
	}
}

// startSSHD starts an SSH server at home, on port 22, for the key in a directory.
func startSSHD(t *testing.T, s *labStage, sshd, dir string) {
	t.Helper()
	for _, name := range []string{"host", "client"} {
		cmd := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	const separation = "/run/sshd" // which Debian's sshd wants to exist
	if err := os.Mkdir(separation, 0o755); err == nil {
		t.Cleanup(func() { os.Remove(separation) })
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", "none", "-h", filepath.Join(dir, "host"))
	for _, o := range []string{
		"ListenAddress=127.0.0.1:22", "AuthorizedKeysFile=" + filepath.Join(dir, "client.pub"),
		"StrictModes=no", "UsePAM=no", "PermitRootLogin=yes", "PidFile=none",
	} {
		cmd.Args = append(cmd.Args, "-o", o)
	}
	s.start(t, atHome, cmd)
	for { // until it listens
		c, err := s.dial(atHome)(t.Context(), "tcp4", "127.0.0.1:22")
		if err == nil {
			c.Close()
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("sshd does not listen")
		}
	}
}

// requireRoot skips the test if this is root in a user namespace only: sshd becomes the user that
// logs in. Under CI=true the test fails instead.
func requireRoot(t *testing.T) {
	t.Helper()
	ids, err := os.ReadFile("/proc/self/uid_map")
	switch fields := strings.Fields(string(ids)); {
	case err == nil && len(fields) == 3 && fields[2] == "4294967295":
	case os.Getenv("CI") == "true":
		t.Fatal("CI=true, but sshd needs root outside of a user namespace")
	default:
		t.Skip("sshd needs root outside of a user namespace")
	}
}
