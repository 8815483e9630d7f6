package natlab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The names of the constants, each at its index.
var (
	mappingNames     = []string{Public: "public", EIM: "eim", ADM: "adm", APDM: "apdm"}
	filteringNames   = []string{EIF: "eif", ADF: "adf", APDF: "apdf"}
	unsolicitedNames = []string{UnsolicitedDrop: "drop", UnsolicitedRST: "rst", UnsolicitedICMP: "icmp"}
	portNames        = []string{
		PortPreserve: "preserve", PortOverload: "overload",
		PortSequential: "sequential", PortSequential2: "sequential2",
		PortDescending: "descending", PortDescending2: "descending2", PortRandom: "random",
	}
	extraNames  = []string{"rstkills", "nosyn", "hairpin", "hairpininside", "pool4", "blocks16", "synlimit", "clash", "noudp"}
	egressNames = []string{EgressOpen: "", EgressDrop: "egressdrop", EgressRST: "egressrst", EgressICMP: "egressicmp"}
	proxyNames  = []string{NoProxy: "", ProxySilent: "proxysilent", ProxyClose: "proxyclose", ProxyNoise: "proxynoise"}
)

// extras returns pointers to the fields that extraNames names, in that order.
func (b *Behaviour) extras() []*bool {
	return []*bool{&b.RSTKills, &b.NoSYN, &b.Hairpin, &b.HairpinInside, &b.Pool4, &b.Blocks16, &b.SYNLimit, &b.Clash, &b.NoUDP}
}

// ParseBehaviour reads a behaviour in words: "public", or
//
//	MAPPING-FILTERING[-UNSOLICITED][-PORTS][-EXTRA...]
//
//	MAPPING      eim, adm, apdm
//	FILTERING    eif, adf, apdf
//	UNSOLICITED  drop (the default), rst, icmp
//	PORTS        preserve (the default), overload, sequential, sequential2, descending,
//	             descending2, random
//	EXTRA        rstkills, nosyn, hairpin, hairpininside, pool4, blocks16, synlimit, clash,
//	             noudp, egressdrop, egressrst, egressicmp, proxysilent, proxyclose, proxynoise
//
// as in "eim-apdf-rst" or "apdm-apdf-random-noudp". The fields of [Behaviour] explain the words. A
// proxy takes only connections to ports from 10000 up.
//
// A Linux kernel in the place of the emulation is
//
//	kernel[-INPUT][-RULE...]
//
//	INPUT  what a stranger's SYN gets: drop (the default), rst (a rule rejects it), accept (it gets
//	       in to the router, whose kernel answers with a reset)
//	RULE   random, fullyrandom, persistent, snat4 (four external addresses, one at random for each
//	       connection), blocks16 (16 external ports), invalid (drops what is invalid), nosyn (drops
//	       a SYN that answers a SYN), firewall (a public address behind a stateful firewall,
//	       without translation)
//
// as in "kernel-rst-random" or "kernel-drop-firewall". [Kernel] explains them.
func ParseBehaviour(s string) (Behaviour, error) {
	var b Behaviour
	if err := b.parse(s); err != nil {
		return Behaviour{}, fmt.Errorf("natlab: NAT %q: %w", s, err)
	}
	return b, nil
}

func (b *Behaviour) parse(s string) error {
	if s == mappingNames[Public] {
		return nil
	}
	words := strings.Split(s, "-")
	if words[0] == kernelName {
		return b.parseKernel(words[1:])
	}
	if words[0] == mappingNames[Public] {
		return errors.New("no word follows public")
	}
	m := slices.Index(mappingNames[EIM:], words[0])
	if m < 0 {
		return fmt.Errorf("it begins with none of %s", list(append(mappingNames, kernelName)))
	}
	b.Mapping = EIM + Mapping(m)
	if len(words) == 1 {
		return fmt.Errorf("a filtering is missing: one of %s", list(filteringNames))
	}
	f := slices.Index(filteringNames, words[1])
	if f < 0 {
		return fmt.Errorf("%q is no filtering: want one of %s", words[1], list(filteringNames))
	}
	b.Filtering = Filtering(f)

	rest := words[2:]
	if len(rest) > 0 {
		if i := slices.Index(unsolicitedNames, rest[0]); i >= 0 {
			b.Unsolicited = Unsolicited(i)
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		if i := slices.Index(portNames, rest[0]); i >= 0 {
			b.Ports = Ports(i)
			rest = rest[1:]
		}
	}
	for _, w := range rest {
		if err := b.parseExtra(w); err != nil {
			return err
		}
	}
	return b.check()
}

func (b *Behaviour) parseExtra(w string) error {
	if i := slices.Index(extraNames, w); i >= 0 {
		*b.extras()[i] = true
		return nil
	}
	if i := slices.Index(egressNames, w); i > 0 {
		if b.Egress != EgressOpen {
			return fmt.Errorf("%q is a second egress filter", w)
		}
		b.Egress = Egress(i)
		return nil
	}
	i := slices.Index(proxyNames[ProxySilent:], w)
	switch {
	case i < 0:
		extras := slices.Concat(extraNames, egressNames[EgressDrop:], proxyNames[ProxySilent:])
		return fmt.Errorf("%q is no known word, or not in its place: want [%s][-%s][-%s...]", w,
			strings.Join(unsolicitedNames, "|"), strings.Join(portNames, "|"), strings.Join(extras, "|"))
	case b.Proxy != NoProxy:
		return fmt.Errorf("%q is a second proxy", w)
	}
	b.Proxy = ProxySilent + Proxy(i)
	return nil
}

// check returns an error if no site can have the behaviour.
func (b Behaviour) check() error {
	switch {
	case b.Kernel.On:
		return b.checkKernel()
	case b.Kernel != Kernel{}:
		return errors.New("rules for a kernel without one")
	case b.Mapping == Public && b != Behaviour{}:
		return errors.New("a public site has no NAT to behave")
	case b.HairpinInside && b.Pool4:
		return errors.New("hairpininside needs a single external address")
	case b.Ports == PortOverload && b.Mapping != APDM:
		return errors.New("overload needs the mapping apdm")
	case b.SYNLimit && b.Unsolicited == UnsolicitedDrop:
		return errors.New("synlimit needs answers to limit: rst or icmp")
	case b.Clash && (b.Unsolicited == UnsolicitedDrop || b.Ports != PortOverload):
		return errors.New("clash needs answers, rst or icmp, and overload")
	case int(b.Mapping) >= len(mappingNames) || int(b.Filtering) >= len(filteringNames) ||
		int(b.Unsolicited) >= len(unsolicitedNames) || int(b.Ports) >= len(portNames) ||
		int(b.Egress) >= len(egressNames) || int(b.Proxy) >= len(proxyNames):
		return errors.New("a value is out of range")
	}
	return nil
}

// String returns b in the form of [ParseBehaviour], without the defaults.
func (b Behaviour) String() string {
	if b.check() != nil {
		return fmt.Sprintf("invalid(%d-%d-%d-%d)", b.Mapping, b.Filtering, b.Unsolicited, b.Ports)
	}
	if b.Kernel.On {
		return b.kernelString()
	}
	if b.Mapping == Public {
		return mappingNames[Public]
	}
	words := []string{mappingNames[b.Mapping], filteringNames[b.Filtering]}
	if b.Unsolicited != UnsolicitedDrop {
		words = append(words, unsolicitedNames[b.Unsolicited])
	}
	if b.Ports != PortPreserve {
		words = append(words, portNames[b.Ports])
	}
	for i, on := range b.extras() {
		if *on {
			words = append(words, extraNames[i])
		}
	}
	if b.Egress != EgressOpen {
		words = append(words, egressNames[b.Egress])
	}
	if b.Proxy != NoProxy {
		words = append(words, proxyNames[b.Proxy])
	}
	return strings.Join(words, "-")
}

// MarshalText encodes b as String does, for [flag.TextVar] and JSON.
func (b Behaviour) MarshalText() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("natlab: NAT: %w", err)
	}
	return []byte(b.String()), nil
}

// UnmarshalText decodes text as [ParseBehaviour] does.
func (b *Behaviour) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBehaviour(string(text))
	return err
}

func list(words []string) string { return strings.Join(words, ", ") }
