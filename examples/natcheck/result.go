package main

import (
	"net/netip"

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
	UDP         stun.Fact        `json:"udp"`

	BareSYN    stun.Fact    `json:"bare_syn"`
	Persistent stun.Fact    `json:"persistent"`
	Egress     stun.Fact    `json:"egress"`
	NAT        stun.Fact    `json:"nat"`
	Addresses  []netip.Addr `json:"addresses"`
	Peers      []reach      `json:"peers"`
	Problems   []problem    `json:"problems"`
	Complete   bool         `json:"complete"` // if not, another check may find out more
	Reason     string       `json:"reason"`   // why nothing was learned, or ""
}

// problem is what is wrong with a server, or rests on its word alone.
type problem struct {
	Server string `json:"server"`
	Error  string `json:"error"`
}

func newResult(c *check) result {
	res := result{
		Mapping: c.Mapping, Filtering: c.Filtering, Ports: c.Ports, Step: c.Step,
		Unsolicited: c.Unsolicited, Hairpin: c.Hairpin, IPv6: c.IPv6, UDP: c.udp(),
		BareSYN: c.BareSYN, Persistent: c.Persistent, Egress: c.Egress, NAT: c.NAT,
		Addresses: append([]netip.Addr{}, c.Addrs...), // not null
		Peers:     []reach{},
		Problems:  []problem{},
		Complete:  c.Complete,
		Reason:    c.nothing(),
	}
	switch {
	case res.Reason == "":
		res.Peers = reaches(c.Behaviour)
	case c.within():
		res.NAT = stun.Unknown // of one to the Internet
	}
	for _, s := range c.Servers {
		if s.Err != nil {
			res.Problems = append(res.Problems, problem{s.Server, s.Err.Error()})
		}
	}
	if c.unconfirmed != nil {
		res.Problems = append(res.Problems, *c.unconfirmed)
	}
	return res
}

// failure returns what -json prints if a check fails.
func failure(err error) result {
	res := newResult(&check{Report: new(stun.Report)})
	res.Reason = console.OneLine(err)
	return res
}
