package main

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A segment is a SYN, a SYN+ACK or a RST as it passed the outer side of a site's NAT, or failed to.
type segment struct {
	at        time.Time
	site      string
	direction natlab.Direction
	fate      natlab.Fate
	flags     uint8 // SYN, ACK, RST
	src, dst  netip.AddrPort
	seq, ack  uint32
}

// A segmentLog records the segments that open connections between the two peers.
type segmentLog struct {
	alice, bob netip.Prefix // of their sites' external addresses

	mu       sync.Mutex
	segments []segment
}

func newSegmentLog(alice, bob *natlab.Host) *segmentLog {
	const siteBits = 24 // of the lab's address plan
	l := &segmentLog{
		alice: netip.PrefixFrom(scene.OuterAddr(alice), siteBits),
		bob:   netip.PrefixFrom(scene.OuterAddr(bob), siteBits),
	}
	alice.Site().Tap(l.record)
	bob.Site().Tap(l.record)
	return l
}

func (l *segmentLog) record(e natlab.Event) {
	if e.Place != natlab.Outside {
		return
	}
	p, err := natlab.Parse(e.Packet)
	if err != nil || p.Flags()&(natlab.SYN|natlab.RST) == 0 {
		return
	}
	if !l.between(p.Src().Addr(), p.Dst().Addr()) {
		return
	}
	const headerUnit = 4 // bytes; the lab's sites have IPv4
	tcp := e.Packet[int(e.Packet[0]&0xf)*headerUnit:]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, segment{
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

func (l *segmentLog) between(src, dst netip.Addr) bool {
	return l.alice.Contains(src) && l.bob.Contains(dst) || l.bob.Contains(src) && l.alice.Contains(dst)
}

// all returns the segments so far, in the order of their times. That is not the order of the events
// on a bridge.
func (l *segmentLog) all() []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(l.segments), func(a, b segment) int { return a.at.Compare(b.at) })
}
