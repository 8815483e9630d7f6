package console

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

func TestUsage(t *testing.T) {
	flags := flag.NewFlagSet("walk", flag.ContinueOnError)
	var b bytes.Buffer
	flags.SetOutput(&b)
	flags.Int("far", 3, "go so `far`"+strings.Repeat(" and on", 20))
	flags.Bool("v", false, "say where")
	Describe(flags, Usage{Does: "Walk goes somewhere.", Synopsis: []string{"walk [flags] PLACE"}, Notes: "Places:\n  here"})
	flags.Usage()
	want := "Walk goes somewhere.\n\nUsage:\n  walk [flags] PLACE\n\nFlags:\n" +
		"  -far far\n    \tgo so far" + strings.Repeat(" and on", 9) + "\n    \tand on" + strings.Repeat(" and on", 9) + "\n    \tand on (default 3)\n" +
		"  -v\tsay where\n\nPlaces:\n  here\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestNATFlag(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	var b bytes.Buffer
	flags.SetOutput(&b)
	nat := natlab.Behaviour{Mapping: natlab.EIM}
	NATFlag(flags, "nat", &nat, "a `NAT`")
	if usage := flags.Lookup("nat").Usage; usage != "a `NAT` (default eim-eif)" {
		t.Errorf("usage %q", usage)
	}
	if err := flags.Parse([]string{"-nat", "cone"}); err == nil || strings.Count(err.Error(), "cone") != 1 {
		t.Errorf("got %v, want an error that has the word once", err)
	}
	if err := flags.Parse([]string{"-nat", "kernel"}); err != nil || nat.String() != "kernel-drop" {
		t.Errorf("got %v, %v", nat, err)
	}
}

func TestNATWordsFit(t *testing.T) {
	for l := range strings.Lines(NATWords) {
		if len(l) > columns+1 {
			t.Errorf("%q has more than %d columns", l, columns)
		}
	}
}
