package natlab

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// What Behaviour.SYNLimit leaves: the rate of the classic rule against SYN floods (iptables -m
// limit --limit 1/s), with that match's usual burst.
const (
	synLimitRate  = 1
	synLimitBurst = 5
)

// maxSessions bounds a NAT's memory. It is the limit of Linux on a machine with 1 GB
// (nf_conntrack_max), far above what a lab makes.
const maxSessions = 65536

// sweepInterval is how often expired sessions are removed. Until then they have no effect.
const sweepInterval = time.Minute

// A NAT translates between inside hosts and one external address, or several, by the rules of its
// [Behaviour]. It reads no clock, and is not safe for concurrent use.
type NAT struct {
	behaviour Behaviour
	pool      []netip.Addr // external addresses; none in a firewall
	router    netip.Addr   // the router's inside address
	rng       *rand.Rand

	byFlow   map[flow]*mapping        // as packets from inside look for it
	byPort   map[port][]*mapping      // as packets from outside do; more than one if overloaded
	byTuple  map[tuple]*mapping       // every session has its place here
	own      map[ownSession]time.Time // the NAT's own sessions, and when they end; with Clash
	static   []*mapping               // they outlive a reset
	ports    portRange
	nextPort uint16        // for ports in sequence
	answers  *rate.Limiter // to unsolicited SYNs
	sweepAt  time.Time
}

// NewNAT makes a NAT without mappings. Random ports come from rng. With [Behaviour.Pool4] the NAT
// also has the three addresses after external.
func NewNAT(b Behaviour, external netip.Addr, rng *rand.Rand) *NAT {
	n := &NAT{behaviour: b, pool: poolFrom(external, b), rng: rng, ports: portsFor(b, rng)}
	n.nextPort = n.ports.draw(rng)
	n.Reset()
	return n
}

// Reset removes all mappings but static ones. Sequential ports continue where they were.
func (n *NAT) Reset() {
	n.answers = rate.NewLimiter(rate.Inf, 0)
	if n.behaviour.SYNLimit {
		n.answers = rate.NewLimiter(synLimitRate, synLimitBurst)
	}
	n.byFlow = make(map[flow]*mapping)
	n.byPort = make(map[port][]*mapping)
	n.byTuple = make(map[tuple]*mapping)
	n.own = make(map[ownSession]time.Time)
	for _, m := range n.static {
		clear(m.sessions)
		n.index(m)
	}
}

// A Verdict is the decision of a NAT about a packet.
type Verdict struct {
	// Fate is Forwarded, Dropped or Answered.
	Fate Fate
	// Reason is why a packet is not forwarded.
	Reason string
	// Packet is the translated packet if it is forwarded. If it is answered, Packet is the answer,
	// which goes back to where the packet came from.
	Packet []byte
	// Hairpin means that the packet came from inside, and goes back there.
	Hairpin bool
}

func drop(reason string) Verdict { return Verdict{Fate: Dropped, Reason: reason} }

// Outbound translates a packet from inside, in place.
func (n *NAT) Outbound(now time.Time, pkt []byte) Verdict {
	p, reason := n.parse(pkt)
	if reason != "" {
		return drop(reason)
	}
	if !p.hasPorts() {
		return n.outboundICMP(now, p)
	}
	hairpin, reason := n.hairpins(p)
	if reason != "" {
		return drop(reason)
	}
	m := n.lookup(now, tuple{p.proto, p.Src(), p.Dst()})
	s := m.session(now, p.Dst())
	if s == nil {
		if p.TCP() && p.Flags()&SYN == 0 || n.toRouter(p) {
			return drop("no session")
		}
		if !hairpin && !n.letsOut(p) {
			return n.refuseOut(p)
		}
		if !n.reserveSession(now) {
			return drop("table full")
		}
		if m == nil {
			if m = n.allocate(now, n.flowOf(p.proto, p.Src(), p.Dst()), p.Dst()); m == nil {
				return drop("no port free")
			}
		}
		s = n.addSession(m, p.Dst())
	}
	s.pass(now, p, Outbound, n.behaviour)
	p.setSrc(m.port.endpoint)
	n.afterRST(m, p)
	if hairpin {
		return n.hairpin(now, p)
	}
	return Verdict{Fate: Forwarded, Packet: p.b}
}

// Inbound translates a packet from outside, in place.
func (n *NAT) Inbound(now time.Time, pkt []byte) Verdict {
	p, reason := n.parse(pkt)
	if reason != "" {
		return drop(reason)
	}
	if !p.hasPorts() {
		return n.inboundICMP(now, p)
	}
	m, reason := n.admit(now, p)
	if reason != "" {
		return n.unsolicited(now, p, reason)
	}
	return n.deliver(now, m, p)
}

// deliver translates a packet that comes in through a mapping, in place.
func (n *NAT) deliver(now time.Time, m *mapping, p Packet) Verdict {
	s := m.session(now, p.Src())
	if s == nil {
		t := tuple{p.proto, m.flow.internal, p.Src()}
		if other := n.byTuple[t].session(now, p.Src()); other != nil && other.answered {
			return drop("session of another mapping")
		}
		if !n.reserveSession(now) {
			return drop("table full")
		}
		s = n.addSession(m, p.Src())
	}
	s.pass(now, p, Inbound, n.behaviour)
	p.setDst(m.flow.internal)
	n.afterRST(m, p)
	return Verdict{Fate: Forwarded, Packet: p.b}
}

// parse refuses what no NAT of this kind forwards. If reason is empty, the packet is TCP, UDP or
// ICMP.
func (n *NAT) parse(pkt []byte) (p Packet, reason string) {
	p, err := Parse(pkt)
	switch {
	case err != nil:
		return p, "malformed"
	case p.ipv4() == n.firewall():
		return p, "address family"
	case p.fragment:
		return p, "fragment"
	case p.proto == protoUDP && n.behaviour.NoUDP:
		return p, "no UDP"
	case !p.hasPorts() && p.proto != protoICMP && p.proto != protoICMPv6:
		return p, "protocol"
	}
	return p, ""
}

// admit returns the mapping that admits a packet from outside, or the reason why there is none.
func (n *NAT) admit(now time.Time, p Packet) (m *mapping, reason string) {
	candidates := n.mappings(now, port{p.proto, p.Dst()})
	if n.behaviour.NoSYN && p.bareSYN() {
		for _, m := range candidates {
			if m.static {
				return m, ""
			}
		}
		return nil, "bare SYN"
	}
	switch {
	case len(candidates) == 0 && n.firewall():
		return nil, "no session"
	case len(candidates) == 0:
		return nil, "no mapping"
	}
	for _, m := range candidates {
		if m.session(now, p.Src()) != nil {
			return m, ""
		}
	}
	if p.UDP() || p.bareSYN() { // without a session, TCP starts with a SYN
		for _, m := range candidates {
			if m.lets(now, p.Src().Addr(), n.behaviour.Filtering) {
				return m, ""
			}
		}
	}
	return nil, "filtered"
}

// unsolicited refuses a packet from outside. Only a bare SYN gets an answer.
func (n *NAT) unsolicited(now time.Time, p Packet, reason string) Verdict {
	switch {
	case !p.bareSYN() || n.behaviour.Unsolicited == UnsolicitedDrop:
		return drop(reason)
	case !n.answers.AllowN(now, 1):
		return drop(reason + ", and too many of late")
	}
	if n.behaviour.Clash {
		n.own[ownSession{p.Dst(), p.Src()}] = now.Add(tcpClosedIdle)
	}
	switch {
	case n.behaviour.Unsolicited == UnsolicitedRST:
		return Verdict{Fate: Answered, Reason: reason, Packet: resetFor(p)}
	default:
		return Verdict{Fate: Answered, Reason: reason, Packet: unreachableFor(p)}
	}
}

// afterRST removes the mapping of a RST that has passed, in a NAT with RSTKills.
func (n *NAT) afterRST(m *mapping, p Packet) {
	if n.behaviour.RSTKills && p.Flags()&RST != 0 {
		n.remove(m)
	}
}
