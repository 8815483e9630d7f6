package scene

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// parsed returns options, and what is wrong with them.
func parsed(args ...string) (Options, error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	var b bytes.Buffer
	flags.SetOutput(&b)
	var o Options
	o.AddFlags(flags)
	err := flags.Parse(args)
	if err == nil {
		err = o.Check(flags)
	}
	return o, err
}

func TestOptions(t *testing.T) {
	for args, nats := range map[string][2]string{
		"":                                  {"eim-apdf-rst", "eim-apdf-rst"},
		"-a public -b kernel":               {"public", "kernel-drop"},
		"-bridge":                           {"kernel-drop", "kernel-drop"},
		"-bridge -a public -b kernel-rst":   {"public", "kernel-rst"},
		"-loss 0.05 -jitter 3ms -oneway 0s": {"eim-apdf-rst", "eim-apdf-rst"},
	} {
		o, err := parsed(strings.Fields(args)...)
		if err != nil || o.A.String() != nats[0] || o.B.String() != nats[1] {
			t.Errorf("%q: got %v, %v, %v", args, o.A, o.B, err)
		}
	}
	for _, args := range []string{
		"-loss 1.5", "-loss NaN", "-oneway -1ms", "-relay-oneway -1s", "-jitter -1s",
		"-bridge -loss 0.1", "-bridge -oneway 1ms", "-bridge -a eim-apdf", "-a cone",
	} {
		if _, err := parsed(strings.Fields(args)...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestDescribeNATs(t *testing.T) {
	for args, want := range map[string]string{
		"":                       "NAT       both (eim-apdf-rst):\n            one outer port",
		"-a public":              "NAT       bob's (eim-apdf-rst):\n            one outer port",
		"-a eim-eif":             "          bob's (eim-apdf-rst):\n            one outer port",
		"-a public -b public":    "",
		"-a kernel-rst-firewall": "NAT       alice's (kernel-rst-firewall):\n            a Linux kernel",
	} {
		o, err := parsed(strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		o.describeNATs(console.New(&b))
		if !strings.Contains(b.String(), want) || want == "" && b.Len() > 0 {
			t.Errorf("%q: got\n%s", args, b.String())
		}
	}
}
