package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// demoResult runs the demo with -json, and checks the form of what it prints.
func demoResult(t *testing.T, cmd *exec.Cmd) (result, program.Result) {
	t.Helper()
	r := program.Run(t, cmd)
	const order = `^\{"lab":.*,"relayed":.*,"direct":.*,"simultaneous":.*,"time_to_direct_ms":.*,` +
		`"relayed_rtt_ms":.*,"direct_rtt_ms":.*,"remote_addr":.*,"reason":.*\}\n$`
	if !regexp.MustCompile(order).MatchString(r.Stdout) {
		t.Errorf("stdout %q, want an object with its keys in order", r.Stdout)
	}
	var res result
	if err := json.Unmarshal([]byte(r.Stdout), &res); err != nil {
		t.Fatalf("stdout %q: %v", r.Stdout, err)
	}
	return res, r
}

func checkDirect(t *testing.T, res result, addr string) {
	t.Helper()
	if !res.Relayed || !res.Direct || res.Reason != "" || !strings.HasPrefix(res.RemoteAddr, addr) ||
		res.TimeToDirect <= 0 || res.RelayedRTT <= 0 || res.DirectRTT <= 0 || res.Bytes != 100000 {
		t.Errorf("got %+v, want a direct connection to %s and 100000 bytes over it", res, addr)
	}
}

func TestLab(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for _, nats := range [][2]string{
		{"eim-apdf-rst", "eim-apdf-rst"},
		{"apdm-apdf-random", "eim-eif"},
		{"apdm-apdf-sequential", "apdm-apdf-rst-sequential2"},
		{"public", "eim-adf-icmp-rstkills"},
		{"kernel-accept", "kernel-rst-firewall"},
	} {
		t.Run(nats[0]+" to "+nats[1], func(t *testing.T) {
			t.Parallel()
			res, r := demoResult(t, exec.Command(exe, "-json", "-bytes", "100000", "-a", nats[0], "-b", nats[1]))
			checkDirect(t, res, "/ip4/46.0.3.1/tcp/")
			if !res.Lab || r.Status != 0 || r.Stderr != "" {
				t.Errorf("lab %v, status %d, stderr %q", res.Lab, r.Status, r.Stderr)
			}
		})
	}
	t.Run("bridge", func(t *testing.T) {
		t.Parallel()
		res, r := demoResult(t, exec.Command(exe, "-json", "-bytes", "100000", "-bridge", "-a", "kernel-drop", "-b", "kernel-drop"))
		checkDirect(t, res, "/ip4/46.0.3.1/tcp/")
		if !res.Lab || r.Status != 0 || r.Stderr != "" {
			t.Errorf("lab %v, status %d, stderr %q", res.Lab, r.Status, r.Stderr)
		}
	})
	t.Run("impossible", func(t *testing.T) {
		t.Parallel()
		const nat = "apdm-apdf-random"
		res, r := demoResult(t, exec.Command(exe, "-json", "-a", nat, "-b", nat))
		if r.Status != 1 || !res.Relayed || res.Direct || res.RelayedRTT <= 0 || !strings.Contains(res.Reason, "both NATs give every destination another port, at random") {
			t.Errorf("status %d, %+v", r.Status, res)
		}
	})
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		r := program.Run(t, exec.Command(exe, "-bytes", "100000", "-pcap", dir))
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
		for _, want := range []string{
			"\nrelayed ", "\naddress ", "\npunch ", "alice's NAT ", "SYN out\n", "\ndirect ", "\nRTT ", "\nsent ", "\nopen ",
		} {
			if !strings.Contains(r.Stdout, want) {
				t.Errorf("no %q", want)
			}
		}
		if strings.Index(r.Stdout, "\npunch ") > strings.Index(r.Stdout, "alice's NAT ") {
			t.Error("the packets come before the punch")
		}
		for _, site := range []string{"relay", "alice", "bob"} {
			checkCapture(t, filepath.Join(dir, site+".pcapng"), r.Stdout)
		}
	})
}

// checkCapture checks that a file is pcapng, and that its name was printed.
func checkCapture(t *testing.T, file, stdout string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const sectionHeader = "\x0a\x0d\x0d\x0a"
	if !strings.HasPrefix(string(b), sectionHeader) {
		t.Errorf("%s is not pcapng", file)
	}
	if !strings.Contains(stdout, file) {
		t.Errorf("%s is not told", file)
	}
}

// onLoopback runs the demo as where no lab can be had.
func onLoopback(exe string, args ...string) *exec.Cmd {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), loopbackEnv+"=1")
	return cmd
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	t.Run("json", func(t *testing.T) {
		res, r := demoResult(t, onLoopback(exe, "-json", "-bytes", "100000"))
		checkDirect(t, res, "/ip4/127.0.0.1/tcp/")
		if res.Lab || r.Status != 0 || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("lab %v, status %d, stderr %q; want one line", res.Lab, r.Status, r.Stderr)
		}
	})
	t.Run("nothing sent", func(t *testing.T) {
		t.Parallel()
		r := program.Run(t, onLoopback(exe, "-bytes", "0"))
		if r.Status != 0 || r.Stderr != "" || strings.Contains(r.Stdout, "sent") || !strings.Contains(r.Stdout, "\nopen ") {
			t.Errorf("status %d, stderr %q, stdout %q", r.Status, r.Stderr, r.Stdout)
		}
	})
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		r := program.Run(t, onLoopback(exe))
		if r.Status != 0 || r.Stderr != "" || !strings.Contains(r.Stdout, "\nsent      8.0 MiB") || !strings.Contains(r.Stdout, " over the relay\n") {
			t.Errorf("status %d, stderr %q, stdout %q", r.Status, r.Stderr, r.Stdout)
		}
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	program.WantUsage(t, exe,
		[]string{"extra"},
		[]string{"-a", "cone"},
		[]string{"-b", "eim"},
		[]string{"-loss", "1.5"},
		[]string{"-loss", "NaN"},
		[]string{"-oneway", "-1ms"},
		[]string{"-bytes", "-1"},
		[]string{"-bridge", "-loss", "0.1"},
		[]string{"-bridge", "-a", "eim-apdf"},
	)
}
