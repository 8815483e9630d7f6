package natlab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A device has an address on a site's LAN. It is a host, or a site behind this one.
type device interface {
	// fromLAN takes a packet for the device, which it may keep. The lab is locked.
	fromLAN(now time.Time, pkt []byte)
}

var (
	_ device = (*Host)(nil)
	_ device = (*Site)(nil)
)

func (h *Host) fromLAN(_ time.Time, pkt []byte) { h.site.lab.wire.deliver(h.tun, pkt) }

// fromLAN carries a packet from the LAN of the parent site down the link.
func (s *Site) fromLAN(now time.Time, pkt []byte) {
	s.lab.wire.send(path{s.parent, s}, now, s.linkDelay(), func(now time.Time) { s.fromOutside(now, pkt) })
}

// nextAddr returns a further address for a host.
func (s *Site) nextAddr() (netip.Addr, error) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	if s.hosts == maxHosts {
		return netip.Addr{}, fmt.Errorf("more than %d addresses of hosts at site %q", maxHosts, s.name)
	}
	s.hosts++
	if s.public() {
		return netip.AddrFrom4([4]byte{46, 0, s.number, s.hosts}), nil
	}
	return netip.AddrFrom4([4]byte{10, s.number, 0, s.hosts}), nil
}

// addr6 returns the IPv6 address that corresponds to a host's IPv4 address. It is invalid at a site
// without IPv6.
func (s *Site) addr6(addr netip.Addr) netip.Addr {
	if !s.ipv6 {
		return netip.Addr{}
	}
	a := [16]byte{0: 0x2a, 3: 0x46, 7: s.number, 15: addr.As4()[3]}
	return netip.AddrFrom16(a)
}

// attach makes a device be found by an address, from the core as well if there is no NAT on the
// way.
func (s *Site) attach(addr netip.Addr, d device) {
	s.inside[addr] = d
	if addr.Is4() && !s.public() {
		return
	}
	for ; s.parent != nil; s = s.parent {
		s.parent.inside[addr] = s
	}
	s.lab.public[addr] = s
}

// gate returns the NAT or the firewall that a packet passes at a site that is not public.
func (s *Site) gate(pkt []byte) *NAT {
	if p, err := Parse(pkt); err == nil && !p.ipv4() && s.firewall != nil {
		return s.firewall
	}
	return s.nat
}

// fromHost accepts a packet from a host at the site. It copies the packet.
func (s *Site) fromHost(pkt []byte) {
	p, err := Parse(pkt)
	if err == nil && linkScoped(p) {
		return // IPv6 neighbour and router discovery, which would only clutter a capture
	}
	pkt = slices.Clone(pkt)
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.fromInside(time.Now(), pkt)
}

// linkScoped reports whether a packet never leaves its link.
func linkScoped(p Packet) bool {
	src, dst := p.Src().Addr(), p.Dst().Addr()
	return src.IsUnspecified() || src.IsLinkLocalUnicast() || dst.IsLinkLocalUnicast() || dst.IsMulticast()
}

// fromInside accepts a packet on the LAN.
func (s *Site) fromInside(now time.Time, pkt []byte) {
	p, err := Parse(pkt)
	if err != nil {
		s.emit(now, Inside, Outbound, Verdict{Fate: Dropped, Reason: "malformed"}, pkt)
		return
	}
	if d := s.inside[p.Dst().Addr()]; d != nil {
		d.fromLAN(now, pkt)
		return
	}
	if s.public() {
		s.emit(now, Inside, Outbound, Verdict{}, pkt)
		s.transmit(now, pkt)
		return
	}
	if answers, taken := s.proxy.take(p); taken {
		s.emit(now, Inside, Outbound, Verdict{Fate: Answered, Reason: "by the proxy"}, pkt)
		for _, a := range answers {
			s.toInside(now, a)
		}
		return
	}
	if s.router != nil {
		s.emit(now, Inside, Outbound, Verdict{}, pkt)
		s.lab.wire.deliver(s.router.lan, pkt)
		return
	}
	before := s.observed(pkt)
	v := s.gate(pkt).Outbound(now, pkt)
	s.emit(now, Inside, Outbound, v, before)
	switch {
	case v.Fate == Answered:
		s.toInside(now, v.Packet)
	case v.Fate != Forwarded:
	case v.Hairpin:
		s.toInside(now, v.Packet)
	default:
		s.transmit(now, v.Packet)
	}
}

// transmit sends a packet up the link.
func (s *Site) transmit(now time.Time, pkt []byte) {
	if reason := s.lose(pkt); reason != "" {
		s.emit(now, Outside, Outbound, Verdict{Fate: Lost, Reason: reason}, pkt)
		return
	}
	delay := s.linkDelay()
	if s.parent != nil {
		s.emit(now, Outside, Outbound, Verdict{}, pkt)
		s.lab.wire.send(path{s, s.parent}, now, delay, func(now time.Time) { s.parent.fromInside(now, pkt) })
		return
	}
	var to *Site
	if p, err := Parse(pkt); err == nil {
		to = s.lab.public[p.Dst().Addr()]
	}
	if to == nil {
		s.emit(now, Outside, Outbound, Verdict{Fate: Dropped, Reason: "no route"}, pkt)
		return
	}
	p := path{s, to}
	if mtu := s.lab.mtus[p]; mtu > 0 && len(pkt) > mtu {
		s.emit(now, Outside, Outbound, Verdict{Fate: Lost, Reason: tooLong}, pkt)
		return
	}
	s.emit(now, Outside, Outbound, Verdict{}, pkt)
	delay += s.lab.extra[p] + to.linkDelay()
	s.lab.wire.send(p, now, delay, func(now time.Time) { to.fromOutside(now, pkt) })
}

// fromOutside accepts a packet that comes down the link.
func (s *Site) fromOutside(now time.Time, pkt []byte) {
	if reason := s.lose(pkt); reason != "" {
		s.emit(now, Outside, Inbound, Verdict{Fate: Lost, Reason: reason}, pkt)
		return
	}
	if s.public() {
		s.emit(now, Outside, Inbound, Verdict{}, pkt)
		s.toInside(now, pkt)
		return
	}
	if s.router != nil {
		s.emit(now, Outside, Inbound, Verdict{}, pkt)
		s.lab.wire.deliver(s.router.wan, pkt)
		return
	}
	before := s.observed(pkt)
	v := s.gate(pkt).Inbound(now, pkt)
	s.emit(now, Outside, Inbound, v, before)
	switch v.Fate {
	case Forwarded:
		s.toInside(now, v.Packet)
	case Answered:
		s.transmit(now, v.Packet)
	}
}

// toInside carries a packet from the NAT to its device.
func (s *Site) toInside(now time.Time, pkt []byte) {
	var d device
	if p, err := Parse(pkt); err == nil {
		d = s.inside[p.Dst().Addr()]
	}
	if d == nil {
		s.emit(now, Inside, Inbound, Verdict{Fate: Dropped, Reason: "no such host"}, pkt)
		return
	}
	s.emit(now, Inside, Inbound, Verdict{}, pkt)
	d.fromLAN(now, pkt)
}

// tooLong is why a link or a path loses a packet that is longer than its MTU.
const tooLong = "too long"

// lose decides whether the link loses a packet, and returns why, or "".
func (s *Site) lose(pkt []byte) (reason string) {
	switch {
	case s.down:
		return "link down"
	case s.mtu > 0 && len(pkt) > s.mtu:
		return tooLong
	case s.loss > 0 && s.lab.rng.Float64() < s.loss:
		return "by chance"
	}
	return ""
}

func (s *Site) linkDelay() time.Duration {
	d := s.delay
	if s.jitter > 0 {
		d += time.Duration(s.lab.rng.Int64N(int64(s.jitter)))
	}
	return d
}
