package main

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// form is that of what -json prints: what other programs rely on, then the rest.
var form = regexp.MustCompile(`^\{"mapping":"(?:EIM|ADM|APDM|unknown)","filtering":"(?:EIF|ADF|APDF|unknown)",` +
	`"ports":"(?:preserved|sequential|random|block|unknown)","step":-?\d+,"unsolicited":"(?:drop|rst|icmp|unknown)",` +
	`"hairpin":(?:true|false|null),"ipv6":(?:true|false),"udp":(?:true|false|null),` +
	`"bare_syn":(?:true|false|null),"persistent":(?:true|false|null),"egress":(?:true|false|null),"nat":(?:true|false|null),` +
	`"addresses":\[.*\],"peers":\[.*\],"problems":\[.*\],"complete":(?:true|false),"reason":".*"\}\n$`)

func TestLab(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for nat, want := range map[string]string{
		"public":                    `{"mapping":"EIM","filtering":"EIF","ports":"preserved","step":0,"unsolicited":"unknown","hairpin":true,"ipv6":false,"udp":true,"bare_syn":true,"persistent":true,"egress":true,"nat":false,"addresses":["46.0.2.1"],`,
		"apdm-apdf-rst-sequential":  `{"mapping":"APDM","filtering":"APDF","ports":"sequential","step":1,"unsolicited":"rst","hairpin":null,"ipv6":false,"udp":true,"bare_syn":null,"persistent":true,"egress":true,"nat":true,"addresses":["46.0.2.1"],`,
		"eim-adf-icmp-random-noudp": `{"mapping":"EIM","filtering":"ADF","ports":"random","step":0,"unsolicited":"icmp","hairpin":false,"ipv6":false,"udp":false,"bare_syn":true,"persistent":true,"egress":true,"nat":true,"addresses":["46.0.2.1"],`,
		"kernel-rst-random":         `{"mapping":"APDM","filtering":"APDF","ports":"random","step":0,"unsolicited":"rst","hairpin":null,"ipv6":false,"udp":true,"bare_syn":null,"persistent":false,"egress":true,"nat":true,"addresses":["46.0.2.1"],`,
		"kernel-accept-invalid":     `{"mapping":"EIM","filtering":"APDF","ports":"preserved","step":0,"unsolicited":"rst","hairpin":false,"ipv6":false,"udp":true,"bare_syn":true,"persistent":true,"egress":true,"nat":true,"addresses":["46.0.2.1"],`,
		"kernel-rst-firewall":       `{"mapping":"EIM","filtering":"APDF","ports":"preserved","step":0,"unsolicited":"rst","hairpin":true,"ipv6":false,"udp":true,"bare_syn":true,"persistent":true,"egress":true,"nat":false,"addresses":["46.0.2.1"],`,
		"eim-apdf-rst-egressrst":    `{"mapping":"EIM","filtering":"APDF","ports":"preserved","step":0,"unsolicited":"rst","hairpin":false,"ipv6":false,"udp":false,"bare_syn":null,"persistent":true,"egress":false,"nat":true,"addresses":["46.0.2.1"],`,
	} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			r := program.Run(t, exec.Command(exe, "-json", "-lab", nat))
			if r.Status != 0 || r.Stderr != "" || !form.MatchString(r.Stdout) || !strings.HasPrefix(r.Stdout, want) {
				t.Errorf("status %d, stderr %q, stdout\n%s\nwant\n%s", r.Status, r.Stderr, r.Stdout, want)
			}
			if !json.Valid([]byte(r.Stdout)) {
				t.Error("no JSON")
			}
		})
	}
	t.Run("in words", func(t *testing.T) {
		t.Parallel()
		r := program.Run(t, exec.Command(exe, "-lab=apdm-apdf-rst-sequential2"))
		for _, want := range []string{
			"Emulated NAT: apdm-apdf-rst-sequential2.\n\nYour NAT gives every destination another port (APDM), two apart.\n",
			"reset (RST).\n",
			"\nwith random ports (APDM, APDF)         cannot (1)\n",
			"\negress    connections get out to any port\n",
			"\n(1)       One NAT gives every destination another port, at random, ",
			"\nwith a public address ",
		} {
			if !strings.Contains(r.Stdout, want) {
				t.Errorf("%q is missing", want)
			}
		}
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
	})
}

func TestRealNetwork(t *testing.T) {
	t.Parallel()
	exe, serverExe := program.Self(t), program.Build(t, "../stunserver")
	server := program.Start(t, exec.Command(serverExe, "-listen", "127.0.0.1:0"))
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(server.Line("serving"))
	r := program.Run(t, exec.Command(exe, "-json", "stun:"+addr+"?transport=tcp", "turn.invalid"))
	const want = `{"mapping":"EIM","filtering":"unknown","ports":"preserved","step":0,`
	if r.Status != 1 || r.Stderr != "" || !form.MatchString(r.Stdout) || !strings.HasPrefix(r.Stdout, want) ||
		!strings.Contains(r.Stdout, `"egress":null,"nat":null,"addresses":["127.0.0.1"],"peers":[],"problems":[{"server":"turn.invalid","error":"stun: `) ||
		!strings.Contains(r.Stdout, `"reason":"the server is in your own network`) {
		t.Errorf("status %d, stderr %q, stdout\n%s\nwant\n%s", r.Status, r.Stderr, r.Stdout, want)
	}
	server.Interrupt()
	if r := server.Wait(); r.Status != 0 || r.Stderr != "" {
		t.Errorf("server: status %d, stderr %q", r.Status, r.Stderr)
	}

	// And now it is gone.
	r = program.Run(t, exec.Command(exe, "-json", addr))
	if r.Status != 1 || r.Stderr != "" || !form.MatchString(r.Stdout) || !strings.HasPrefix(r.Stdout, `{"mapping":"unknown",`) ||
		!strings.Contains(r.Stdout, `"udp":null`) || !strings.Contains(r.Stdout, `"reason":"no server could be asked`) {
		t.Errorf("status %d, stderr %q, stdout\n%s", r.Status, r.Stderr, r.Stdout)
	}
	r = program.Run(t, exec.Command(exe, addr))
	if r.Status != 1 || !strings.Contains(r.Stdout, "nothing is known of the NAT") || !strings.Contains(r.Stdout, addr+" refuses TCP connections") {
		t.Errorf("status %d, stderr %q, stdout\n%s", r.Status, r.Stderr, r.Stdout)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	for _, test := range []struct {
		args   []string
		stderr string
	}{
		{nil, "name a STUN server"},
		{[]string{"-lab", "foo"}, "begins with none of"},
		{[]string{"-lab"}, "needs an argument"},
		{[]string{"-lab", "eim-apdf", "192.0.2.1"}, "leave out"},
		{[]string{"turn:192.0.2.1"}, "TURN"},
		{[]string{"http://192.0.2.1/"}, "bad port"},
		{[]string{"-what"}, "not defined"},
	} {
		r := program.Run(t, exec.Command(exe, test.args...))
		if r.Status != 2 || r.Stdout != "" || !strings.Contains(r.Stderr, test.stderr) || strings.Count(r.Stderr, "\n") != 2 {
			t.Errorf("%v: status %d, stdout %q, stderr %q", test.args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
