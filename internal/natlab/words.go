package natlab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The words of a Behaviour, each at the index of the constant it stands for.
var (
	mappingWords     = []string{Public: "public", EIM: "eim", ADM: "adm", APDM: "apdm"}
	filteringWords   = []string{EIF: "eif", ADF: "adf", APDF: "apdf"}
	unsolicitedWords = []string{UnsolicitedDrop: "drop", UnsolicitedRST: "rst", UnsolicitedICMP: "icmp"}
	portsWords       = []string{
		PortPreserve: "preserve", PortOverload: "overload",
		PortSequential: "sequential", PortSequential2: "sequential2", PortRandom: "random",
	}
	extraWords = []string{"rstkills", "nosyn", "hairpin", "hairpininside", "pool4", "noudp"}
	proxyWords = []string{NoProxy: "", ProxySilent: "proxysilent", ProxyClose: "proxyclose", ProxyNoise: "proxynoise"}
)

// extras points at the switches that extraWords name, in that order.
func (b *Behaviour) extras() []*bool {
	return []*bool{&b.RSTKills, &b.NoSYN, &b.Hairpin, &b.HairpinInside, &b.Pool4, &b.NoUDP}
}

// ParseBehaviour reads a behaviour in words: "public", or
//
//	MAPPING-FILTERING[-UNSOLICITED][-PORTS][-EXTRA...]
//
//	MAPPING      eim, adm, apdm
//	FILTERING    eif, adf, apdf
//	UNSOLICITED  drop (the default), rst, icmp
//	PORTS        preserve (the default), overload, sequential, sequential2, random
//	EXTRA        rstkills, nosyn, hairpin, hairpininside, pool4, noudp,
//	             proxysilent, proxyclose, proxynoise
//
// as in "eim-apdf-rst" or "apdm-apdf-random-noudp". What the words mean is said at the
// fields of [Behaviour].
func ParseBehaviour(s string) (Behaviour, error) {
	var b Behaviour
	if err := b.parse(s); err != nil {
		return Behaviour{}, fmt.Errorf("natlab: NAT %q: %w", s, err)
	}
	return b, nil
}

func (b *Behaviour) parse(s string) error {
	if s == mappingWords[Public] {
		return nil
	}
	words := strings.Split(s, "-")
	m := slices.Index(mappingWords[EIM:], words[0])
	if m < 0 {
		return fmt.Errorf("%q is no mapping: want one of %s", words[0], list(mappingWords))
	}
	b.Mapping = EIM + Mapping(m)
	if len(words) == 1 {
		return fmt.Errorf("a filtering is missing after %q: one of %s", words[0], list(filteringWords))
	}
	f := slices.Index(filteringWords, words[1])
	if f < 0 {
		return fmt.Errorf("%q is no filtering: want one of %s", words[1], list(filteringWords))
	}
	b.Filtering = Filtering(f)

	rest := words[2:]
	if len(rest) > 0 {
		if i := slices.Index(unsolicitedWords, rest[0]); i >= 0 {
			b.Unsolicited = Unsolicited(i)
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		if i := slices.Index(portsWords, rest[0]); i >= 0 {
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
	if i := slices.Index(extraWords, w); i >= 0 {
		*b.extras()[i] = true
		return nil
	}
	i := slices.Index(proxyWords[ProxySilent:], w)
	switch {
	case i < 0:
		extras := slices.Concat(extraWords, proxyWords[ProxySilent:])
		return fmt.Errorf("%q is no known word, or not in its place: want [%s][-%s][-%s...]", w,
			strings.Join(unsolicitedWords, "|"), strings.Join(portsWords, "|"), strings.Join(extras, "|"))
	case b.Proxy != NoProxy:
		return fmt.Errorf("%q is a second proxy", w)
	}
	b.Proxy = ProxySilent + Proxy(i)
	return nil
}

// check tells of what no site can be.
func (b Behaviour) check() error {
	switch {
	case b.Mapping == Public && b != Behaviour{}:
		return errors.New("a public site has no NAT to behave")
	case b.HairpinInside && b.Pool4:
		return errors.New("hairpininside needs a single external address")
	case b.Ports == PortOverload && b.Mapping != APDM:
		return errors.New("overload needs the mapping apdm")
	case int(b.Mapping) >= len(mappingWords) || int(b.Filtering) >= len(filteringWords) ||
		int(b.Unsolicited) >= len(unsolicitedWords) || int(b.Ports) >= len(portsWords) || int(b.Proxy) >= len(proxyWords):
		return errors.New("a value is out of range")
	}
	return nil
}

// String gives the words for [ParseBehaviour], without the defaults.
func (b Behaviour) String() string {
	if b.check() != nil {
		return fmt.Sprintf("invalid(%d-%d-%d-%d)", b.Mapping, b.Filtering, b.Unsolicited, b.Ports)
	}
	if b.Mapping == Public {
		return mappingWords[Public]
	}
	words := []string{mappingWords[b.Mapping], filteringWords[b.Filtering]}
	if b.Unsolicited != UnsolicitedDrop {
		words = append(words, unsolicitedWords[b.Unsolicited])
	}
	if b.Ports != PortPreserve {
		words = append(words, portsWords[b.Ports])
	}
	for i, on := range b.extras() {
		if *on {
			words = append(words, extraWords[i])
		}
	}
	if b.Proxy != NoProxy {
		words = append(words, proxyWords[b.Proxy])
	}
	return strings.Join(words, "-")
}

// MarshalText makes a Behaviour fit for [flag.TextVar] and JSON.
func (b Behaviour) MarshalText() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("natlab: NAT: %w", err)
	}
	return []byte(b.String()), nil
}

// UnmarshalText is [ParseBehaviour].
func (b *Behaviour) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBehaviour(string(text))
	return err
}

func list(words []string) string { return strings.Join(words, ", ") }
