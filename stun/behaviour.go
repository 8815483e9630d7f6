package stun

import (
	"encoding"
	"fmt"
	"slices"
	"strings"
)

// A Behaviour is what the NATs in front of a host do with TCP, taken together:
// a carrier's NAT behind a home's counts as one. The words are those of RFC 4787
// and RFC 5382. The zero Behaviour is one of which nothing is known.
type Behaviour struct {
	Mapping     Mapping
	Filtering   Filtering
	Ports       Ports
	Step        int // from one mapping's port to the next one's, if Ports is Sequential
	Unsolicited Unsolicited

	// BareSYN: a SYN comes in from an endpoint that was sent one and has not
	// answered, as RFC 5382 REQ-2 asks. Without it there is no simultaneous
	// open.
	BareSYN Fact
	// Hairpin: inside hosts reach each other at their external endpoints
	// (RFC 5382 REQ-8).
	Hairpin Fact
	// Persistent: a port keeps its mapping when the connection that made it is
	// reset and another one follows at once.
	Persistent Fact
}

// Mapping says when a NAT uses a mapping again for another destination (RFC
// 4787, section 4.1). A host without a NAT has EIM.
type Mapping uint8

const (
	MappingUnknown Mapping = iota
	EIM                    // endpoint-independent: one external port for each local port
	ADM                    // address-dependent: another one for each remote address
	APDM                   // address and port-dependent: another one for each remote endpoint
)

// Filtering says whom a mapping lets in (RFC 4787, section 5).
type Filtering uint8

const (
	FilteringUnknown Filtering = iota
	EIF                        // endpoint-independent: anybody
	ADF                        // address-dependent: addresses that the mapping has sent to
	APDF                       // address and port-dependent: endpoints that the mapping has sent to
)

// Ports is how a NAT chooses the external port of a new mapping (RFC 4787,
// section 4.2).
type Ports uint8

const (
	PortsUnknown Ports = iota
	Preserved          // the local port, if it is free
	Sequential         // the port of the mapping before, and a step
	Random             // without a pattern that was seen
)

// Unsolicited is the answer to a SYN that a NAT does not let in (RFC 5382,
// REQ-4).
type Unsolicited uint8

const (
	UnsolicitedUnknown Unsolicited = iota
	Drop                           // none
	RST                            // a TCP reset
	ICMP                           // an ICMP error
)

// A Fact is a yes or a no, or not known.
type Fact uint8

const (
	Unknown Fact = iota
	Yes
	No
)

// Known makes a Fact of what was found out.
func Known(yes bool) Fact {
	if yes {
		return Yes
	}
	return No
}

// The words of the constants, each at its index.
var (
	mappingWords     = []string{"unknown", "EIM", "ADM", "APDM"}
	filteringWords   = []string{"unknown", "EIF", "ADF", "APDF"}
	portsWords       = []string{"unknown", "preserved", "sequential", "random"}
	unsolicitedWords = []string{"unknown", "drop", "rst", "icmp"}
	factWords        = []string{"unknown", "yes", "no"}
)

// String is "EIM", "ADM", "APDM" or "unknown".
func (m Mapping) String() string { return word(mappingWords, m) }

// String is "EIF", "ADF", "APDF" or "unknown".
func (f Filtering) String() string { return word(filteringWords, f) }

// String is "preserved", "sequential", "random" or "unknown".
func (p Ports) String() string { return word(portsWords, p) }

// String is "drop", "rst", "icmp" or "unknown".
func (u Unsolicited) String() string { return word(unsolicitedWords, u) }

// String is "yes", "no" or "unknown".
func (f Fact) String() string { return word(factWords, f) }

// MarshalText gives the word that String does.
func (m Mapping) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText gives; any other word is an error.
func (m *Mapping) UnmarshalText(b []byte) error { return unmarshal(m, mappingWords, b) }

// MarshalText gives the word that String does.
func (f Filtering) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText gives; any other word is an error.
func (f *Filtering) UnmarshalText(b []byte) error { return unmarshal(f, filteringWords, b) }

// MarshalText gives the word that String does.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText gives; any other word is an error.
func (p *Ports) UnmarshalText(b []byte) error { return unmarshal(p, portsWords, b) }

// MarshalText gives the word that String does.
func (u Unsolicited) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what MarshalText gives; any other word is an error.
func (u *Unsolicited) UnmarshalText(b []byte) error { return unmarshal(u, unsolicitedWords, b) }

func unmarshal[T ~uint8](v *T, words []string, text []byte) error {
	i := slices.Index(words, string(text))
	if i < 0 {
		return fmt.Errorf("stun: %q is none of %s", text, strings.Join(words, ", "))
	}
	*v = T(i)
	return nil
}

// The words of a Fact in JSON, at its index.
var factJSON = []string{"null", "true", "false"}

// MarshalJSON gives true, false or null.
func (f Fact) MarshalJSON() ([]byte, error) { return []byte(word(factJSON, f)), nil }

// UnmarshalJSON reads true, false or null.
func (f *Fact) UnmarshalJSON(b []byte) error { return unmarshal(f, factJSON, b) }

var (
	_ encoding.TextMarshaler = Mapping(0)
	_ encoding.TextMarshaler = Filtering(0)
	_ encoding.TextMarshaler = Ports(0)
	_ encoding.TextMarshaler = Unsolicited(0)
)

func word[T ~uint8](words []string, v T) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}

// String is the behaviour in words, as in "APDM, APDF, sequential ports 1 apart, rst".
func (b Behaviour) String() string {
	words := []string{b.Mapping.String(), b.Filtering.String()}
	switch b.Ports {
	case Sequential:
		words = append(words, fmt.Sprintf("sequential ports %d apart", b.Step))
	case Preserved, Random:
		words = append(words, b.Ports.String()+" ports")
	}
	if b.Unsolicited != UnsolicitedUnknown {
		words = append(words, b.Unsolicited.String())
	}
	for _, f := range []struct {
		is       Fact
		yes, not string
	}{
		{b.BareSYN, "", "no bare SYN"},
		{b.Hairpin, "hairpin", ""},
		{b.Persistent, "", "mapping dies with its connection"},
	} {
		switch f.is {
		case Yes:
			words = append(words, f.yes)
		case No:
			words = append(words, f.not)
		}
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return strings.Join(words, ", ")
}
