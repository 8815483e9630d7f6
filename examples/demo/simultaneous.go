package main

import (
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// simultaneous tells whether the connection from alice to bob's outer address came of
// a true simultaneous open (RFC 9293, section 3.5): of one 4-tuple, the SYNs of both
// went out, both were let in, and both ends answered the other's SYN, from the
// very sequence number of their own, with SYN+ACK. An end that had accepted would
// never have sent a SYN, one that was accepted would have sent an ACK.
func simultaneous(segments []segment, bob netip.AddrPort) bool {
	return slices.ContainsFunc(segments, func(syn segment) bool {
		if syn.site != aliceName || syn.direction != natlab.Outbound || syn.flags != natlab.SYN || syn.dst != bob {
			return false
		}
		return slices.ContainsFunc(segments, func(other segment) bool {
			return other.site == bobName && other.direction == natlab.Outbound && other.flags == natlab.SYN &&
				other.src == syn.dst && other.dst == syn.src && crossed(segments, syn, other)
		})
	})
}

// crossed tells whether both SYNs came in and were answered with SYN+ACK.
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
