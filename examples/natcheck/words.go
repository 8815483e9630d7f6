package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// tell prints a report for a person.
func tell(out *console.Console, c *check) {
	peers := newResult(c).Peers
	switch {
	case len(c.Addrs) == 0:
		out.Paragraph("", "No server could be asked over TCP, so nothing is known of the NAT."+udpWords(c))
	case c.within():
		out.Paragraph("", "The server is in your own network: this says nothing of the NAT to the Internet.")
		out.Paragraph("", "Take a server with a public address.")
		out.Print("")
		addresses(out, c)
	default:
		for _, s := range sentences(c, peers) {
			out.Paragraph("", s)
		}
		out.Print("")
		facts(out, c)
		table(out, peers)
	}
	problems(out, c)
}

// sentences say what the NAT does.
func sentences(c *check, peers []reach) []string {
	s := []string{mappingWords(c), filteringWords(c)}
	switch {
	case c.BareSYN == stun.No && c.Filtering == stun.EIF:
		s = append(s, "But it drops a SYN from where one was sent to: a simultaneous open fails.")
	case c.BareSYN == stun.No:
		s = append(s, "It lets no SYN in, not even from where one was sent to: a simultaneous open fails.")
	}
	if c.Egress == stun.No {
		s = append(s, "Your network, or a firewall on this host, refuses connections out to ports such as peers have.")
	}
	s = append(s, verdict(peers))
	if !c.Complete {
		s = append(s, "Not all was found out: a server did not answer everything, or connections to it failed. Check again.")
	}
	return s
}

// verdict sums up the table.
func verdict(peers []reach) string {
	count := make(map[stun.Fact]int)
	for _, p := range peers {
		count[p.Possible]++
	}
	all := len(peers)
	if count[stun.Yes] == all {
		return "Direct TCP works with all of the peers below."
	}
	if count[stun.No] == all {
		return "Direct TCP works with none of the peers below."
	}
	text := fmt.Sprintf("Direct TCP works with %d of the %d kinds of peers below", count[stun.Yes], all)
	if n := count[stun.Unknown]; n > 0 {
		text += fmt.Sprintf(", and may work with %d more", n)
	}
	return text + "."
}

func mappingWords(c *check) string {
	if c.NAT == stun.No {
		return "There is no NAT in front of this host."
	}
	switch c.Mapping {
	case stun.APDM:
		if len(c.Addrs) > 1 {
			return fmt.Sprintf("Your NAT gives every destination another port (APDM) at one of several addresses%s.",
				portsWords(c.Behaviour, "the first port is the local one", "%s", "at random"))
		}
		return fmt.Sprintf("Your NAT gives every destination another port (APDM)%s.", portsWords(c.Behaviour, "the first is the local one", "%s", "at random"))
	case stun.EIM:
		return fmt.Sprintf("Your NAT keeps one port for all destinations (EIM)%s.", portsWords(c.Behaviour, "the local one if it is free", "new ones %s", "new ones at random"))
	case stun.ADM:
		return fmt.Sprintf("Your NAT gives every remote address another port (ADM)%s.", portsWords(c.Behaviour, "the first is the local one", "%s", "at random"))
	default:
		return "There is a NAT. How it gives out ports takes servers at two addresses to find out."
	}
}

func portsWords(b stun.Behaviour, preserved, sequential, random string) string {
	switch b.Ports {
	case stun.Preserved:
		return ", " + preserved
	case stun.Sequential:
		return ", " + fmt.Sprintf(sequential, apart(b.Step))
	case stun.Random:
		return ", " + random
	case stun.Block:
		return fmt.Sprintf(", %s among %d", random, stun.BlockSize)
	default:
		return ""
	}
}

func apart(step int) string {
	down := ""
	if step < 0 {
		step, down = -step, ", downwards"
	}
	number := fmt.Sprint(step)
	if small := []string{1: "one", 2: "two", 3: "three"}; step < len(small) {
		number = small[step]
	}
	return number + " apart" + down
}

func filteringWords(c *check) string {
	it := "It"
	if c.NAT == stun.No {
		it = "Its network"
	}
	answer := map[stun.Unsolicited]string{
		stun.Drop: "; others get no answer",
		stun.RST:  "; others get a reset (RST)",
		stun.ICMP: "; others get an ICMP error",
	}[c.Unsolicited]
	switch c.Filtering {
	case stun.EIF:
		return it + " lets in anybody at a port that is in use (EIF)."
	case stun.ADF:
		return it + " lets in only addresses that the port has sent to (ADF)" + answer + "."
	case stun.APDF:
		return it + " lets in only endpoints, address and port, that the port has sent to (APDF)" + answer + "."
	}
	whom := "Whom " + strings.ToLower(it) + " lets in"
	connectsBack := func(s stun.ServerReport) bool { return s.ConnectsBack }
	hasTwo := func(s stun.ServerReport) bool { return s.ConnectsBack && s.Other.IsValid() }
	switch {
	case slices.ContainsFunc(c.Servers, hasTwo):
		return whom + " was not found out."
	case slices.ContainsFunc(c.Servers, connectsBack):
		return whom + " takes a server with two addresses to find out."
	default:
		return whom + " takes a server that connects back to find out: see examples/stunserver."
	}
}

// facts are the same for readers who know the terms, and the rest.
func facts(out *console.Console, c *check) {
	addresses(out, c)
	ports := c.Ports.String()
	if c.Ports == stun.Sequential {
		ports += ", " + apart(c.Step)
	}
	out.Line("mapping", "%s, ports %s", c.Mapping, ports)
	out.Line("filtering", "%s, answer to others: %s", c.Filtering, c.Unsolicited)
	if c.NAT != stun.No {
		out.Line("hairpin", "%s", map[stun.Fact]string{
			stun.Yes:     "yes: hosts behind this NAT reach each other by its address",
			stun.No:      "no: hosts behind this NAT do not reach each other by its address",
			stun.Unknown: "unknown: whether hosts behind it reach each other by its address",
		}[c.Hairpin])
	}
	out.Line("egress", "%s", map[stun.Fact]string{
		stun.Yes:     "connections get out to any port",
		stun.No:      "connections get out to some ports only",
		stun.Unknown: "unknown: whether connections get out to any port",
	}[c.Egress])
	out.Line("UDP", "%s", map[stun.Fact]string{
		stun.Yes:     "gets out",
		stun.No:      "no answer: blocked",
		stun.Unknown: "unknown: no answer (blocked, or the server has none)",
	}[c.udp()])
	out.Line("IPv6", "%s", map[bool]string{true: "yes", false: "no public address"}[c.IPv6])
}

func addresses(out *console.Console, c *check) {
	addrs := make([]string, len(c.Addrs))
	for i, a := range c.Addrs {
		addrs[i] = a.String()
	}
	out.Line("address", "%s", strings.Join(addrs, ", "))
}

func udpWords(c *check) string {
	if c.UDP {
		return " UDP gets out."
	}
	return ""
}

func table(out *console.Console, peers []reach) {
	const heading = "A peer"
	width := len(heading)
	for _, p := range peers {
		width = max(width, len(p.Peer))
	}
	out.Print("", fmt.Sprintf("%-*s  %s", width, heading, "direct TCP"))
	var reasons []holepunch.Reason
	for _, p := range peers {
		cell := p.Outcome
		if p.reason != "" {
			if !slices.Contains(reasons, p.reason) {
				reasons = append(reasons, p.reason)
			}
			cell = fmt.Sprintf("cannot (%d)", 1+slices.Index(reasons, p.reason))
		}
		out.Print(fmt.Sprintf("%-*s  %s", width, p.Peer, cell))
	}
	if len(reasons) == 0 {
		return
	}
	out.Print("")
	for i, reason := range reasons {
		text := reason.Error()
		out.Paragraph(fmt.Sprintf("(%d)", i+1), strings.ToUpper(text[:1])+text[1:]+".")
		out.Paragraph(" ", "What helps: "+remedies[reason])
	}
	for i, reason := range reasons {
		if p := programs[reason]; p != "" {
			out.Print("")
			out.Paragraph("", fmt.Sprintf("For programmers: about (%d), %s", i+1, p))
		}
	}
	out.Print("", "More in docs/nat.md and docs/troubleshooting.md.")
}

// problems prints what is wrong with servers, and what it means.
func problems(out *console.Console, c *check) {
	if c.unconfirmed != nil {
		out.Print("")
		out.Paragraph("problem", c.unconfirmed.Server+": "+c.unconfirmed.Error)
		out.Paragraph(" ", "Name a second server, at another address, to confirm it.")
	}
	first := c.unconfirmed == nil
	for _, s := range c.Servers {
		if s.Err == nil {
			continue
		}
		if first {
			out.Print("")
			first = false
		}
		text := plain(s.Err)
		if !strings.HasPrefix(text, s.Server) {
			text = s.Server + ": " + text
		}
		out.Paragraph("problem", text)
		if a := advice(s.Err); a != "" {
			out.Paragraph(" ", a)
		}
	}
}

// plain returns the text of an error for a person.
func plain(err error) string {
	var failed *stun.Error
	if e := (*net.OpError)(nil); errors.Is(err, stun.ErrNoTCP) && errors.As(err, &e) {
		return fmt.Sprintf("%v: %s", stun.ErrNoTCP, e.Err)
	}
	if !errors.As(err, &failed) {
		return console.OneLine(err)
	}
	return console.ExplainSTUN(failed)
}

func advice(err error) string {
	var dissent *stun.DissentError
	switch {
	case errors.Is(err, stun.ErrNoTCP):
		return "Direct TCP needs a server that speaks STUN over TCP; its port may be another."
	case errors.Is(err, stun.ErrFamily), errors.Is(err, stun.ErrPrivateMapped):
		return "It was left out. It lies, or something in between changes its answers."
	case errors.As(err, &dissent) && dissent.Majority.IsValid():
		return "It was left out. It lies, or the NAT uses another address for it."
	case dissent != nil:
		return "Either one of them lies, or your carrier's NAT uses several addresses. A third server would tell."
	}
	return ""
}
