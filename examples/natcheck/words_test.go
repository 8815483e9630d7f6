package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func said(r *stun.Report) string {
	var b bytes.Buffer
	tell(console.New(&b), &check{Report: r})
	return b.String()
}

// flat leaves out where lines break.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestTell(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("46.0.2.1")}
	for want, r := range map[string]*stun.Report{
		"There is no NAT in front of this host.\nIts network lets in anybody": {Addrs: addrs, NAT: stun.No,
			Behaviour: stun.Behaviour{Mapping: stun.EIM, Filtering: stun.EIF}},
		"There is no NAT in front of this host.\nIts network lets in only endpoints, address and port, that the port has sent to (APDF); others get no answer.": {Addrs: addrs, NAT: stun.No,
			Behaviour: stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.Drop}},
		"one port for all destinations (EIM), the local one if it is free.": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.EIM, Ports: stun.Preserved}},
		"every remote address another port (ADM), at random.": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.ADM, Ports: stun.Random}},
		"another port (APDM), three apart, downwards.": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Ports: stun.Sequential, Step: -3}},
		"another port (APDM), 8 apart.": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Ports: stun.Sequential, Step: 8}},
		"takes servers at two addresses to find out.":    {Addrs: addrs, NAT: stun.Yes},
		"takes a server that connects back to find out":  {Addrs: addrs, NAT: stun.Yes},
		"takes a server with two addresses to find out.": {Addrs: addrs, NAT: stun.Yes, Servers: []stun.ServerReport{{ConnectsBack: true}}},
		"peers below, and may work with 1 more. Not all was found out: a server": {Addrs: addrs, NAT: stun.Yes, Behaviour: stun.Behaviour{Mapping: stun.EIM},
			Servers: []stun.ServerReport{{ConnectsBack: true}, {ConnectsBack: true, Other: netip.MustParseAddrPort("192.0.2.2:3479")}}},
		"Whom it lets in was not found out. Direct TCP works with 4 of the 5 kinds of peers below, and may work with 1 more. address": {Addrs: addrs, NAT: stun.Yes, Behaviour: stun.Behaviour{Mapping: stun.EIM}, Complete: true,
			Servers: []stun.ServerReport{{ConnectsBack: true}, {ConnectsBack: true, Other: netip.MustParseAddrPort("192.0.2.2:3479")}}},
		"refuses connections out to ports such as peers have. Direct TCP works with none": {Addrs: addrs, NAT: stun.Yes, Behaviour: stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Egress: stun.No}},
		"a simultaneous open fails.": {Addrs: addrs, NAT: stun.Yes, Behaviour: stun.Behaviour{Mapping: stun.EIM, BareSYN: stun.No}},
		"at one of several addresses, the first port is the local one.": {Addrs: append(addrs, addrs[0].Next()), NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Ports: stun.Preserved}},
		"UDP unknown: no answer": {Addrs: addrs, NAT: stun.Yes},
		"UDP no answer: blocked": {Addrs: addrs, NAT: stun.Yes, Servers: []stun.ServerReport{{Other: netip.MustParseAddrPort("192.0.2.2:3479")}}},
		"For programmers: about (1), the option WithPortGuessing": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Ports: stun.Random, Filtering: stun.APDF}},
		"nothing is known of the NAT. UDP gets out.":        {UDP: true},
		"problem   a: the server answers over UDP":          {Servers: []stun.ServerReport{{Server: "a", Err: fmt.Errorf("%w: x", stun.ErrNoTCP)}}},
		"A third server would tell.":                        {Servers: []stun.ServerReport{{Server: "a", Err: &stun.DissentError{}}}},
		"It was left out. It lies, or the NAT uses":         {Servers: []stun.ServerReport{{Server: "a", Err: &stun.DissentError{Majority: addrs[0]}}}},
		"It was left out. It lies, or something in between": {Servers: []stun.ServerReport{{Server: "a", Err: stun.ErrFamily}}},
		"problem   a: 192.0.2.1:3478 has closed the connection instead of answering: is it a STUN server,": {Servers: []stun.ServerReport{{Server: "a",
			Err: &stun.Error{Server: "192.0.2.1:3478", Err: stun.ErrDisconnected}}}},
		"in your own network: this says nothing of the NAT to the Internet. Take a server": {Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.7")},
			NAT: stun.No, Behaviour: stun.Behaviour{Mapping: stun.EIM}},
		"ports in sequence (APDM, APDF) works, perhaps by port prediction with random ports (APDM, APDF) may work (filtering not known)": {
			Addrs: addrs, NAT: stun.Yes, Behaviour: stun.Behaviour{Mapping: stun.EIM}},
		"a home router (EIM, APDF) may work (mapping, filtering not known)": {Addrs: addrs, NAT: stun.Yes},
		"Direct TCP works with 4 of the 5 kinds of peers below, and may work with 1 more.": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.EIM}},
		"random ports (APDM, APDF) may work (ports, filtering not known)": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM}},
		"cannot (1) with random ports (APDM, APDF) cannot (2) behind a firewall that lets no SYN in cannot (3) (1) One NAT": {Addrs: addrs, NAT: stun.Yes,
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Ports: stun.Random, Filtering: stun.APDF, BareSYN: stun.No}},
	} {
		got := said(r)
		if !strings.Contains(flat(got), flat(want)) {
			t.Errorf("%q is not in\n%s", want, got)
		}
		for line := range strings.Lines(got) {
			if len(line) > 81 {
				t.Errorf("%q has more than 80 columns", line)
			}
		}
	}
}

// TestAdvice: the advice is in the words of a program's users.
func TestAdvice(t *testing.T) {
	for reason, text := range remedies {
		if strings.Contains(text, "With") {
			t.Errorf("%v: %q names an option of a library", reason, text)
		}
	}
}
