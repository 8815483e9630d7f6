package main

import (
	"net/netip"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A result is what -json prints.
type result struct {
	Mapping     stun.Mapping     `json:"mapping"`
	Filtering   stun.Filtering   `json:"filtering"`
	Ports       stun.Ports       `json:"ports"`
	Step        int              `json:"step"`
	Unsolicited stun.Unsolicited `json:"unsolicited"`
	Hairpin     stun.Fact        `json:"hairpin"`
	IPv6        bool             `json:"ipv6"`
	UDP         bool             `json:"udp"`

	BareSYN    stun.Fact    `json:"bare_syn"`
	Persistent stun.Fact    `json:"persistent"`
	Egress     stun.Fact    `json:"egress"`
	NAT        stun.Fact    `json:"nat"`
	Addresses  []netip.Addr `json:"addresses"`
	Peers      []reach      `json:"peers"`
	Problems   []problem    `json:"problems"`
	Reason     string       `json:"reason"` // why nothing could be found out, or ""
}

// problem is what is wrong with a server.
type problem struct {
	Server string `json:"server"`
	Error  string `json:"error"`
}

func newResult(r *stun.Report) result {
	res := result{
		Mapping: r.Mapping, Filtering: r.Filtering, Ports: r.Ports, Step: r.Step,
		Unsolicited: r.Unsolicited, Hairpin: r.Hairpin, IPv6: r.IPv6, UDP: r.UDP,
		BareSYN: r.BareSYN, Persistent: r.Persistent, Egress: r.Egress, NAT: r.NAT,
		Addresses: append([]netip.Addr{}, r.Addrs...), // not null
		Peers:     []reach{},
		Problems:  []problem{},
	}
	switch {
	case len(r.Addrs) == 0:
		res.Reason = "no server could be asked over TCP, so nothing is known of the NAT"
	case within(r):
		res.NAT = stun.Unknown // of one to the Internet
	default:
		res.Peers = reaches(r.Behaviour)
	}
	for _, s := range r.Servers {
		if s.Err != nil {
			res.Problems = append(res.Problems, problem{s.Server, s.Err.Error()})
		}
	}
	return res
}

// failure returns what -json prints if a check fails.
func failure(err error) result {
	res := newResult(new(stun.Report))
	res.Reason = console.OneLine(err)
	return res
}

// within reports whether the servers are in this host's own network: they saw none but private
// addresses of it. The NAT to the Internet has not been passed then.
func within(r *stun.Report) bool {
	for _, a := range r.Addrs {
		m, err := manet.FromIP(a.AsSlice())
		if err != nil || !manet.IsPrivateAddr(m) {
			return false
		}
	}
	return len(r.Addrs) > 0
}
