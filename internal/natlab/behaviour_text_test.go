package natlab

import (
	"flag"
	"io"
	"strings"
	"testing"
)

func TestParseBehaviour(t *testing.T) {
	for _, tt := range []struct {
		in        string
		want      Behaviour
		canonical string
	}{
		{"public", Behaviour{}, "public"},
		{"eim-eif", Behaviour{Mapping: EIM}, "eim-eif"},
		{"eim-apdf-drop-preserve", Behaviour{Mapping: EIM, Filtering: APDF}, "eim-apdf"},
		{"adm-adf-rst", Behaviour{Mapping: ADM, Filtering: ADF, Unsolicited: UnsolicitedRST}, "adm-adf-rst"},
		{"apdm-apdf-icmp-random", Behaviour{Mapping: APDM, Filtering: APDF, Unsolicited: UnsolicitedICMP, Ports: PortRandom}, "apdm-apdf-icmp-random"},
		{"apdm-apdf-overload", Behaviour{Mapping: APDM, Filtering: APDF, Ports: PortOverload}, "apdm-apdf-overload"},
		{"eim-adf-drop-sequential-noudp-rstkills", Behaviour{Mapping: EIM, Filtering: ADF, Ports: PortSequential, RSTKills: true, NoUDP: true}, "eim-adf-sequential-rstkills-noudp"},
		{"adm-adf-sequential2", Behaviour{Mapping: ADM, Filtering: ADF, Ports: PortSequential2}, "adm-adf-sequential2"},
		{"apdm-apdf-descending2-blocks16", Behaviour{Mapping: APDM, Filtering: APDF, Ports: PortDescending2, Blocks16: true}, "apdm-apdf-descending2-blocks16"},
		{"apdm-apdf-rst-overload-clash", Behaviour{Mapping: APDM, Filtering: APDF, Unsolicited: UnsolicitedRST, Ports: PortOverload, Clash: true}, "apdm-apdf-rst-overload-clash"},
		{"eim-eif-rst-descending-synlimit", Behaviour{Mapping: EIM, Unsolicited: UnsolicitedRST, Ports: PortDescending, SYNLimit: true}, "eim-eif-rst-descending-synlimit"},
		{"eim-eif-noudp-egressicmp-proxynoise", Behaviour{Mapping: EIM, NoUDP: true, Egress: EgressICMP, Proxy: ProxyNoise}, "eim-eif-noudp-egressicmp-proxynoise"},
		{"eim-eif-nosyn-hairpin", Behaviour{Mapping: EIM, NoSYN: true, Hairpin: true}, "eim-eif-nosyn-hairpin"},
		{"eim-eif-hairpininside", Behaviour{Mapping: EIM, HairpinInside: true}, "eim-eif-hairpininside"},
		{"kernel", Behaviour{Mapping: APDM, Filtering: APDF, Ports: PortOverload, Kernel: Kernel{On: true}}, "kernel-drop"},
		{"kernel-drop-persistent", Behaviour{Mapping: APDM, Filtering: APDF, Ports: PortOverload, Kernel: Kernel{On: true, Persistent: true}}, "kernel-drop-persistent"},
		{"kernel-invalid-random-rst", Behaviour{Mapping: APDM, Filtering: APDF, Unsolicited: UnsolicitedRST, Ports: PortRandom, Kernel: Kernel{On: true, Invalid: true}}, "kernel-rst-random-invalid"},
		{"kernel-accept-fullyrandom", Behaviour{Mapping: APDM, Filtering: APDF, Unsolicited: UnsolicitedRST, Ports: PortRandom, Kernel: Kernel{On: true, Accept: true, FullyRandom: true}}, "kernel-accept-fullyrandom"},
		{"kernel-snat4-blocks16", Behaviour{Mapping: EIM, Filtering: APDF, Ports: PortRandom, Pool4: true, Blocks16: true, Kernel: Kernel{On: true}}, "kernel-drop-blocks16-snat4"},
		{"kernel-firewall-rst", Behaviour{Filtering: APDF, Unsolicited: UnsolicitedRST, Kernel: Kernel{On: true}}, "kernel-rst-firewall"},
		{"kernel-accept-nosyn-firewall", Behaviour{Unsolicited: UnsolicitedRST, NoSYN: true, Kernel: Kernel{On: true, Accept: true}}, "kernel-accept-nosyn-firewall"},
		{"eim-eif-proxyclose-pool4", Behaviour{Mapping: EIM, Pool4: true, Proxy: ProxyClose}, "eim-eif-pool4-proxyclose"},
	} {
		got, err := ParseBehaviour(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
		if got.String() != tt.canonical {
			t.Errorf("%s: canonical words are %s, want %s", tt.in, got, tt.canonical)
		}
	}
}

func TestParseBehaviourErrors(t *testing.T) {
	for in, want := range map[string][]string{
		"":                               {`""`, "eim", "adm", "apdm", "public"},
		"cone":                           {`"cone"`, "eim", "adm", "apdm", "kernel"},
		"eim":                            {"filtering", "eif", "adf", "apdf"},
		"eim-pdf":                        {`"pdf"`, "eif", "adf", "apdf"},
		"eim-eif-rts":                    {`"rts"`, "drop", "rst", "icmp", "overload", "nosyn"},
		"eim-eif-random-rst":             {`"rst"`, "place"},
		"public-rst":                     {"follows public"},
		"EIM-EIF":                        {`"EIM-EIF"`, "eim"},
		"eim-apdf-overload":              {"overload", "apdm"},
		"apdm-apdf-rst-rst":              {`"rst"`},
		"apdm-apdf-hairpin- ":            {`" "`, "hairpin", "proxynoise"},
		"eim-apdf-synlimit":              {"synlimit", "rst", "icmp"},
		"apdm-apdf-overload-clash":       {"clash", "rst", "icmp"},
		"apdm-apdf-rst-clash":            {"clash", "overload"},
		"eim-eif-pool4-hairpininside":    {"hairpininside", "address"},
		"eim-eif-egressrst-egressdrop":   {`"egressdrop"`, "second"},
		"eim-eif-proxysilent-proxyclose": {`"proxyclose"`, "second"},
		"eim-eif-":                       {`""`, "place"},
		"kernel-":                        {`""`, "drop", "firewall"},
		"kernel-eim":                     {`"eim"`, "drop", "firewall"},
		"kernel-drop-rst":                {"only one of drop, rst, accept"},
		"kernel-random-blocks16":         {"only one of random, fullyrandom, blocks16"},
		"kernel-snat4-snat4":             {`"snat4" is there twice`},
		"kernel-firewall-snat4":          {"firewall", "translate"},
		"kernel-firewall-random":         {"firewall", "translate"},
		"kernel-accept-firewall":         {"firewall"},
	} {
		_, err := ParseBehaviour(in)
		if err == nil {
			t.Errorf("%q: no error", in)
			continue
		}
		for _, word := range want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q: error does not say %s: %v", in, word, err)
			}
		}
	}
}

func TestBehaviourRoundTrip(t *testing.T) {
	for m := EIM; m <= APDM; m++ {
		for f := EIF; f <= APDF; f++ {
			for u := UnsolicitedDrop; u <= UnsolicitedICMP; u++ {
				for p := PortPreserve; p <= PortRandom; p++ {
					for extras := range 1 << len(extraNames) {
						for x := range 4 { // filters and proxies, of each one
							b := Behaviour{Mapping: m, Filtering: f, Unsolicited: u, Ports: p, Egress: Egress(x), Proxy: Proxy(3 - x)}
							for i, on := range b.extras() {
								*on = extras&(1<<i) != 0
							}
							if b.check() != nil {
								continue
							}
							if got, err := ParseBehaviour(b.String()); err != nil || got != b {
								t.Errorf("%s: got %+v, %v; want %+v", b, got, err, b)
							}
						}
					}
				}
			}
		}
	}
}

// Every choice of a kernel's words has a name, or an error.
func TestKernelRoundTrip(t *testing.T) {
	named := 0
	for mask := range 1 << len(kernelWords) {
		words := []string{kernelName}
		for i, k := range kernelWords {
			if mask&(1<<i) != 0 {
				words = append(words, k.word)
			}
		}
		b, err := ParseBehaviour(strings.Join(words, "-"))
		if err != nil {
			continue
		}
		named++
		if got, err := ParseBehaviour(b.String()); err != nil || got != b {
			t.Errorf("%v: got %+v, %v; want %+v", words, got, err, b)
		}
	}
	if named < 200 {
		t.Errorf("only %d choices are possible", named)
	}
}

func TestBehaviourFlag(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var b Behaviour
	flags.TextVar(&b, "nat", Behaviour{Mapping: EIM}, "")
	if got := flags.Lookup("nat").DefValue; got != "eim-eif" {
		t.Errorf("default is %q", got)
	}
	if err := flags.Parse([]string{"-nat", "apdm-apdf-rst"}); err != nil || b.String() != "apdm-apdf-rst" {
		t.Errorf("got %v, %v", b, err)
	}
	if err := flags.Parse([]string{"-nat", "symmetric"}); err == nil {
		t.Error("no error for an unknown word")
	}
}

func TestBehaviourOutOfRange(t *testing.T) {
	b := Behaviour{Mapping: 9}
	if _, err := b.MarshalText(); err == nil {
		t.Error("no error")
	}
	if s := b.String(); !strings.HasPrefix(s, "invalid") {
		t.Error(s)
	}
}
