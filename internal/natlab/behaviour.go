package natlab

import "time"

// A Mapping says when a NAT uses a mapping again for another destination (RFC 4787, section 4.1).
type Mapping uint8

const (
	Public Mapping = iota // no NAT: the hosts have public addresses
	EIM                   // endpoint-independent: one mapping per internal endpoint
	ADM                   // address-dependent: one per remote address
	APDM                  // address and port-dependent: one per remote endpoint
)

// A Filtering says which endpoints may send to a mapping (RFC 4787, section 5).
type Filtering uint8

const (
	EIF  Filtering = iota // endpoint-independent: anybody
	ADF                   // address-dependent: remote addresses that the mapping has sent to
	APDF                  // address and port-dependent: remote endpoints that it has sent to
)

// An Unsolicited is the answer to a TCP SYN that the NAT does not admit (RFC 5382, REQ-4).
type Unsolicited uint8

const (
	UnsolicitedDrop Unsolicited = iota // none
	UnsolicitedRST                     // a reset, as from a host without a listener
	UnsolicitedICMP                    // port unreachable, the one that RFC 5382 asks for
)

// Ports says how a NAT chooses the external port of a new mapping (RFC 4787, section 4.2).
type Ports uint8

const (
	// PortPreserve keeps the internal port unless another mapping has it.
	PortPreserve Ports = iota
	// PortOverload keeps the internal port while no other mapping uses it towards the same remote
	// endpoint, as Linux masquerading does. It needs APDM: a mapping with more than one remote
	// endpoint could not be distinguished from its neighbour.
	PortOverload
	// PortSequential counts up by one.
	PortSequential
	// PortSequential2 counts up by two.
	PortSequential2
	// PortDescending and PortDescending2 count down, by one and by two.
	PortDescending
	PortDescending2
	// PortRandom draws.
	PortRandom
)

// A Behaviour describes a NAT. The zero Behaviour is no NAT: a site with public addresses.
type Behaviour struct {
	Mapping     Mapping
	Filtering   Filtering
	Unsolicited Unsolicited
	Ports       Ports

	// RSTKills removes the whole mapping when a RST passes in either direction.
	RSTKills bool
	// NoSYN admits no bare SYN, even from an endpoint that was sent one. Such a NAT allows no
	// simultaneous open, against RFC 5382 REQ-2.
	NoSYN bool
	// Hairpin lets inside hosts reach each other at their external endpoints (RFC 4787, REQ-9). The
	// filter applies to them too. What it refuses is dropped, whatever Unsolicited says.
	Hairpin bool
	// HairpinInside is Hairpin, but the receiver of a packet sees an inside address of the router
	// as its source, which the sender does not know. Masquerading on Linux does so, against RFC
	// 4787 REQ-9 and RFC 5382 REQ-8.
	HairpinInside bool
	// Pool4 gives the NAT four external addresses, and each new mapping one of them at random (RFC
	// 4787, section 4.1: IP address pooling "arbitrary"). With EIM each local port has one, with
	// APDM each connection. A later mapping of the same host may have another.
	Pool4 bool
	// Blocks16 leaves the NAT a block of 16 external ports, as a carrier does that shares an
	// address among customers by port (MAP-E, RFC 7597). Ports says how it chooses among them; one
	// that is not in the block is not preserved. With APDM, a port is used for several remote
	// endpoints at the same time: there are too few for one each.
	Blocks16 bool
	// SYNLimit has the NAT answer, as Unsolicited says, five unsolicited SYNs at once and then one
	// a second, and drop those above. Firewalls limit so what a SYN flood can have them send.
	SYNLimit bool
	// Clash makes the NAT keep a session of its own with an endpoint whose unsolicited SYN it has
	// answered, for 10 s after the last one. Until then no inside host's connection to that
	// endpoint leaves by the port to which the SYN was sent: it gets another one.
	Clash bool
	// NoUDP drops UDP both ways, as the firewalls of many companies do.
	NoUDP bool
	// Egress filters the connections of the hosts, in IPv4 and IPv6.
	Egress Egress
	// Forgets is the idle time after which an established TCP connection ends. 0 means what RFC
	// 5382 REQ-5 requires, 2 h 4 min. Many NATs forget after minutes.
	Forgets time.Duration
	// Proxy is a transparent proxy between the hosts and the NAT, in IPv4 and IPv6.
	Proxy Proxy
	// Kernel has a Linux kernel do all this.
	Kernel Kernel
}
