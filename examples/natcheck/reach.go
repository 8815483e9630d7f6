package main

import (
	"strings"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A kind is of peers; the name completes "a peer".
type kind struct {
	name      string
	behaviour stun.Behaviour
}

// kinds are those that a person meets, the easiest first.
var kinds = []kind{
	{"with a public address", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.Yes}},
	{"behind a home router (EIM, APDF)", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.Yes}},
	{"with ports in sequence (APDM, APDF)", stun.Behaviour{
		Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1, BareSYN: stun.Yes}},
	{"with random ports (APDM, APDF)", stun.Behaviour{
		Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random, BareSYN: stun.Yes}},
	{"behind a firewall that lets no SYN in", stun.Behaviour{
		Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.No}},
}

// reach is whether peers of a kind can be reached.
type reach struct {
	Peer     string    `json:"peer"`
	Possible stun.Fact `json:"possible"`
	Outcome  string    `json:"outcome"`

	reason holepunch.Reason // why it is not possible, or empty
}

// reaches returns what can be expected with each kind of peers.
func reaches(own stun.Behaviour) []reach {
	worst, unknown := pessimistic(own)
	all := make([]reach, len(kinds))
	for i, k := range kinds {
		all[i] = expect(holepunch.Compatibility(own, k.behaviour), holepunch.Compatibility(worst, k.behaviour), unknown)
		all[i].Peer = k.name
	}
	return all
}

// pessimistic puts the worst in place of what is not known, and names that;
// [holepunch.Compatibility] takes it for the better.
func pessimistic(b stun.Behaviour) (worst stun.Behaviour, unknown []string) {
	switch {
	case b.Mapping == stun.MappingUnknown:
		b.Mapping, b.Ports = stun.APDM, stun.Random
		unknown = append(unknown, "mapping")
	case b.Mapping != stun.EIM && b.Ports == stun.PortsUnknown:
		b.Ports = stun.Random
		unknown = append(unknown, "ports")
	}
	if b.Filtering == stun.FilteringUnknown {
		b.Filtering = stun.APDF
		unknown = append(unknown, "filtering")
	}
	return b, unknown
}

// expect puts into words what lies between the best and the worst outcome.
func expect(best, worst holepunch.Outcome, unknown []string) reach {
	switch {
	case !best.Possible():
		return reach{Possible: stun.No, Outcome: best.String(), reason: best.Reason}
	case !worst.Possible():
		return reach{Outcome: "may work (" + strings.Join(unknown, ", ") + " not known)"}
	case best != worst && worst.Way == holepunch.ByPrediction:
		return reach{Possible: stun.Yes, Outcome: "works, perhaps by port prediction"}
	case best != worst:
		return reach{Possible: stun.Yes, Outcome: "works"}
	}
	return reach{Possible: stun.Yes, Outcome: map[holepunch.Way]string{
		holepunch.Works:        "works",
		holepunch.OneSided:     "works (one side's SYN is let in)",
		holepunch.ByPrediction: "works by port prediction",
	}[best.Way]}
}

// remedies are what to do about a reason.
var remedies = map[holepunch.Reason]string{
	holepunch.ErrUnpredictable:  `a router's "full cone" setting, UPnP, or IPv6; else stay on the relay.`,
	holepunch.ErrPortFiltered:   `a router's "full cone" setting, UPnP, or IPv6; else stay on the relay.`,
	holepunch.ErrEgressFiltered: "another network, a VPN, or a word with those who run this one; else stay on the relay.",
	holepunch.ErrNoBareSYN:      "a forwarded port or a public address on one side, or IPv6.",
}

// programs is what a program can do about a reason.
var programs = map[holepunch.Reason]string{
	holepunch.ErrPortFiltered: "the option WithPortGuessing on both sides usually gets through (docs/nat.md).",
}
