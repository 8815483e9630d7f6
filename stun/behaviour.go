package stun

import (
	"fmt"
	"slices"
	"strings"
)

// A Behaviour describes how the NATs in front of a host treat TCP, taken together: a carrier's NAT
// behind a home's counts as one. The terms are those of RFC 4787 and RFC 5382. The zero Behaviour
// is one of which nothing is known.
type Behaviour struct {
	Mapping     Mapping
	Filtering   Filtering
	Ports       Ports
	Step        int // from one mapping's port to the next one's, if Ports is Sequential
	Unsolicited Unsolicited

	// BareSYN is Yes if the NAT admits a SYN from an endpoint that was sent a SYN and has not
	// answered, as RFC 5382 REQ-2 asks. Without it there is no simultaneous open.
	BareSYN Fact
	// Hairpin is Yes if hosts inside reach each other at their external endpoints (RFC 5382 REQ-8).
	Hairpin Fact
	// Persistent is Yes if a port keeps its mapping when the connection that made it is reset and
	// another one follows at once.
	Persistent Fact
	// Egress is Yes if connections from inside get out to any port. [Discover] leaves it unknown; see
	// [Discoverer.Egress].
	Egress Fact
}

// A Mapping says when a NAT uses a mapping again for another destination (RFC 4787, section 4.1). A
// host without a NAT has EIM.
type Mapping uint8

const (
	MappingUnknown Mapping = iota
	EIM                    // endpoint-independent: one external port for each local port
	ADM                    // address-dependent: another one for each remote address
	APDM                   // address and port-dependent: another one for each remote endpoint
)

// A Filtering says which endpoints may send to a mapping (RFC 4787, section 5).
type Filtering uint8

const (
	FilteringUnknown Filtering = iota
	EIF                        // endpoint-independent: any
	ADF                        // address-dependent: addresses that the mapping has sent to
	APDF                       // address and port-dependent: endpoints that the mapping has sent to
)

// Ports says how a NAT chooses the external port of a new mapping (RFC 4787, section 4.2).
type Ports uint8

const (
	PortsUnknown Ports = iota
	Preserved          // the local port, if it is free
	Sequential         // the port of the previous mapping plus a step
	Random             // no pattern was found
	Block              // any within one block of 16, as where a carrier shares an address by ports (RFC 7597)
)

// An Unsolicited is a NAT's answer to a SYN that it does not admit (RFC 5382, REQ-4).
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

// Known returns Yes or No.
func Known(yes bool) Fact {
	if yes {
		return Yes
	}
	return No
}

// The names of the constants, each at its index, as the methods String return them.
var (
	mappingNames     = []string{"unknown", "EIM", "ADM", "APDM"}
	filteringNames   = []string{"unknown", "EIF", "ADF", "APDF"}
	portsNames       = []string{"unknown", "preserved", "sequential", "random", "block"}
	unsolicitedNames = []string{"unknown", "drop", "rst", "icmp"}
	factNames        = []string{"unknown", "yes", "no"}
	factJSON         = []string{"null", "true", "false"}
)

func (m Mapping) String() string     { return name(mappingNames, m) }
func (f Filtering) String() string   { return name(filteringNames, f) }
func (p Ports) String() string       { return name(portsNames, p) }
func (u Unsolicited) String() string { return name(unsolicitedNames, u) }
func (f Fact) String() string        { return name(factNames, f) }

// Text and JSON have these names, but JSON has true, false or null for a Fact. Anything else cannot
// be decoded.

func (m Mapping) MarshalText() ([]byte, error)     { return []byte(m.String()), nil }
func (f Filtering) MarshalText() ([]byte, error)   { return []byte(f.String()), nil }
func (p Ports) MarshalText() ([]byte, error)       { return []byte(p.String()), nil }
func (u Unsolicited) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
func (f Fact) MarshalJSON() ([]byte, error)        { return []byte(name(factJSON, f)), nil }

func (m *Mapping) UnmarshalText(b []byte) error     { return unmarshal(m, mappingNames, b) }
func (f *Filtering) UnmarshalText(b []byte) error   { return unmarshal(f, filteringNames, b) }
func (p *Ports) UnmarshalText(b []byte) error       { return unmarshal(p, portsNames, b) }
func (u *Unsolicited) UnmarshalText(b []byte) error { return unmarshal(u, unsolicitedNames, b) }
func (f *Fact) UnmarshalJSON(b []byte) error        { return unmarshal(f, factJSON, b) }

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}

func unmarshal[T ~uint8](v *T, names []string, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("stun: %q is none of %s", text, strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}

// String describes b in words, as in "APDM, APDF, sequential ports 1 apart, rst".
func (b Behaviour) String() string {
	words := []string{b.Mapping.String(), b.Filtering.String()}
	switch b.Ports {
	case Sequential:
		words = append(words, fmt.Sprintf("sequential ports %d apart", b.Step))
	case Preserved, Random:
		words = append(words, b.Ports.String()+" ports")
	case Block:
		words = append(words, fmt.Sprintf("ports within a block of %d", BlockSize))
	}
	if b.Unsolicited != UnsolicitedUnknown {
		words = append(words, b.Unsolicited.String())
	}
	if b.BareSYN == No {
		words = append(words, "no bare SYN")
	}
	if b.Hairpin == Yes {
		words = append(words, "hairpin")
	}
	if b.Persistent == No {
		words = append(words, "mapping dies with its connection")
	}
	if b.Egress == No {
		words = append(words, "lets out few ports")
	}
	return strings.Join(words, ", ")
}
