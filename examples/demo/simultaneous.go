package main

import (
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// simultaneous reports whether the connection from alice to bob's outer address is the result of a
// true simultaneous open (RFC 9293, section 3.5): on one 4-tuple both ends sent a SYN, both SYNs
// arrived, and both ends answered with a SYN+ACK that has the sequence number of their own SYN. An
// end that accepted the connection would not have sent a SYN, and one that connected would have
// sent an ACK.
func simultaneous(segments []segment, bob netip.AddrPort) bool {
	return slices.ContainsFunc(segments, func(syn segment) bool {
		if syn.site != scene.AliceName || syn.direction != natlab.Outbound || syn.flags != natlab.SYN || syn.dst != bob {
			return false
		}
		return slices.ContainsFunc(segments, func(other segment) bool {
			return other.site == scene.BobName && other.direction == natlab.Outbound && other.flags == natlab.SYN &&
				other.src == syn.dst && other.dst == syn.src && crossed(segments, syn, other)
		})
	})
}

// crossed reports whether both SYNs arrived and were answered with SYN+ACK.
func crossed(segments []segment, a, b segment) bool {
	const synACK = natlab.SYN | natlab.ACK
	in := func(syn segment, site string) bool {
		return slices.ContainsFunc(segments, func(s segment) bool {
			return s.site == site && s.direction == natlab.Inbound && s.fate == natlab.Forwarded &&
				s.flags == natlab.SYN && s.src == syn.src && s.dst == syn.dst && s.seq == syn.seq
		})
	}
	answered := func(own, other segment) bool {
		return slices.ContainsFunc(segments, func(s segment) bool {
			return s.site == own.site && s.direction == natlab.Outbound &&
				s.flags == synACK && s.src == own.src && s.dst == own.dst && s.seq == own.seq && s.ack == other.seq+1
		})
	}
	return in(a, b.site) && in(b, a.site) && answered(a, b) && answered(b, a)
}
