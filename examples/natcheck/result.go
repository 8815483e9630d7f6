package main

import (
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/holepunch"
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
	NAT        stun.Fact    `json:"nat"`
	Addresses  []netip.Addr `json:"addresses"`
	Peers      []reach      `json:"peers"`
	Problems   []problem    `json:"problems"`
}

// reach is whether peers at a place can be reached.
type reach struct {
	Peer     string `json:"peer"`
	Possible bool   `json:"possible"`
	Outcome  string `json:"outcome"`
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
		BareSYN: r.BareSYN, Persistent: r.Persistent, NAT: r.NAT,
		Addresses: append([]netip.Addr{}, r.Addrs...), // not null
		Peers:     []reach{},
		Problems:  []problem{},
	}
	for _, k := range kinds {
		if outcome, ok := k.outcome(r.Behaviour); ok {
			res.Peers = append(res.Peers, reach{k.name, outcome.Possible(), outcome.String()})
		}
	}
	for _, s := range r.Servers {
		if s.Err != nil {
			res.Problems = append(res.Problems, problem{s.Server, s.Err.Error()})
		}
	}
	return res
}

// A kind is of peers; the name completes "a peer".
type kind struct {
	name      string
	behaviour stun.Behaviour
}

// kinds are those that a person meets, the easiest first.
var kinds = []kind{
	{"in public", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.Yes}},
	{"behind a home router (EIM, APDF)", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.Yes}},
	{"behind ports in sequence (APDM, APDF)", stun.Behaviour{
		Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1, BareSYN: stun.Yes}},
	{"behind ports at random (APDM, APDF)", stun.Behaviour{
		Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random, BareSYN: stun.Yes}},
	{"behind a firewall that lets no SYN in", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.No}},
}

// outcome is what can be expected with a peer of the kind. It is not known without a
// mapping.
func (k kind) outcome(own stun.Behaviour) (o holepunch.Outcome, ok bool) {
	if own.Mapping == stun.MappingUnknown {
		return o, false
	}
	return holepunch.Predict(own, k.behaviour), true
}
