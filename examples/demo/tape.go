package main

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A segment is a SYN, a SYN+ACK or a RST as it passed the outer side of a site's NAT, or
// failed to.
type segment struct {
	at        time.Time
	site      string
	direction natlab.Direction
	fate      natlab.Fate
	flags     uint8 // SYN, ACK, RST
	src, dst  netip.AddrPort
	seq, ack  uint32
}

// A tape records the segments that open connections between the two peers.
type tape struct {
	alice, bob netip.Addr // as seen from outside

	mu       sync.Mutex
	segments []segment
}

func newTape(alice, bob *natlab.Host) *tape {
	t := &tape{alice: outerAddr(alice), bob: outerAddr(bob)}
	alice.Site().Tap(t.record)
	bob.Site().Tap(t.record)
	return t
}

// outerAddr is the address by which the world knows a host.
func outerAddr(h *natlab.Host) netip.Addr {
	if a := h.Site().External(); a.IsValid() {
		return a
	}
	return h.Addr() // public
}

func (t *tape) record(e natlab.Event) {
	if e.Place != natlab.Outside {
		return
	}
	p, err := natlab.Parse(e.Packet)
	if err != nil || p.Flags()&(natlab.SYN|natlab.RST) == 0 {
		return
	}
	if !t.between(p.Src().Addr(), p.Dst().Addr()) {
		return
	}
	const headerUnit = 4 // bytes; the lab's sites have IPv4
	tcp := e.Packet[int(e.Packet[0]&0xf)*headerUnit:]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segments = append(t.segments, segment{
		at:        e.Time,
		site:      e.Site.Name(),
		direction: e.Direction,
		fate:      e.Fate,
		flags:     p.Flags() & (natlab.SYN | natlab.ACK | natlab.RST),
		src:       p.Src(),
		dst:       p.Dst(),
		seq:       binary.BigEndian.Uint32(tcp[4:]),
		ack:       binary.BigEndian.Uint32(tcp[8:]),
	})
}

func (t *tape) between(src, dst netip.Addr) bool {
	return src == t.alice && dst == t.bob || src == t.bob && dst == t.alice
}

// soFar is a copy of what was recorded.
func (t *tape) soFar() []segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.segments)
}
