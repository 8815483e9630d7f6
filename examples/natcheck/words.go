package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// tell prints a report for a person.
func tell(out *console.Console, r *stun.Report) {
	if len(r.Addrs) > 0 {
		out.Print(sentences(r)...)
		out.Print("")
		facts(out, r)
	} else {
		out.Print("No server could be asked over TCP, so nothing is known of the NAT." + udpWords(r))
	}
	if peers := newResult(r).Peers; len(peers) > 0 {
		table(out, peers)
	}
	problems(out, r)
}

// sentences say what the NAT does.
func sentences(r *stun.Report) []string {
	s := []string{mappingWords(r)}
	if w := filteringWords(r); w != "" {
		s = append(s, w)
	}
	if r.BareSYN == stun.No {
		s = append(s, "It lets no SYN in, not even from where one was sent to: a simultaneous open fails.")
	}
	var with, without []string
	for _, k := range kinds {
		if o, ok := k.outcome(r.Behaviour); ok && o.Possible() {
			with = append(with, k.name)
		} else if ok {
			without = append(without, k.name)
		}
	}
	switch {
	case len(with) > 0 && len(without) > 0:
		s = append(s, "Direct TCP works with peers "+list(with)+";", "not with peers "+list(without)+".")
	case len(with) > 0:
		s = append(s, "Direct TCP works with all of the peers below.")
	case len(without) > 0:
		s = append(s, "Direct TCP works with none of the peers below.")
	}
	return s
}

func mappingWords(r *stun.Report) string {
	if r.NAT == stun.No {
		return "There is no NAT in front of this host."
	}
	switch r.Mapping {
	case stun.EIM:
		return fmt.Sprintf("Your NAT keeps one port for all destinations (EIM)%s.", portsWords(r.Behaviour, "the local one if it is free", "new ones %s", "new ones at random"))
	case stun.ADM:
		return fmt.Sprintf("Your NAT gives every remote address another port (ADM)%s.", portsWords(r.Behaviour, "the first is the local one", "%s", "at random"))
	case stun.APDM:
		return fmt.Sprintf("Your NAT gives every destination another port (APDM)%s.", portsWords(r.Behaviour, "the first is the local one", "%s", "at random"))
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

func filteringWords(r *stun.Report) string {
	it := "It"
	if r.NAT == stun.No {
		it = "Its network"
	}
	answer := map[stun.Unsolicited]string{
		stun.Drop: "; others get no answer",
		stun.RST:  "; others get a reset (RST)",
		stun.ICMP: "; others get an ICMP error",
	}[r.Unsolicited]
	switch r.Filtering {
	case stun.EIF:
		return it + " lets in anybody at a port that is in use (EIF)."
	case stun.ADF:
		return it + " lets in only addresses that the port has sent to (ADF)" + answer + "."
	case stun.APDF:
		return it + " lets in only endpoints, address and port, that the port has sent to (APDF)" + answer + "."
	}
	for _, s := range r.Servers {
		if s.ConnectsBack {
			return "Whom " + strings.ToLower(it) + " lets in takes a server with two addresses to find out."
		}
	}
	return "Whom " + strings.ToLower(it) + " lets in takes a server that connects back to find out: see examples/stunserver."
}

// facts are the same for who knows the terms, and the rest.
func facts(out *console.Console, r *stun.Report) {
	addrs := make([]string, len(r.Addrs))
	for i, a := range r.Addrs {
		addrs[i] = a.String()
	}
	out.Line("address", "%s", strings.Join(addrs, ", "))
	ports := r.Ports.String()
	if r.Ports == stun.Sequential {
		ports += ", " + apart(r.Step)
	}
	out.Line("mapping", "%s, ports %s", r.Mapping, ports)
	out.Line("filtering", "%s, answer to others: %s", r.Filtering, r.Unsolicited)
	out.Line("hairpin", "%s", r.Hairpin)
	out.Line("UDP", "%s", map[bool]string{true: "gets out", false: "no answer from any server; it may be blocked"}[r.UDP])
	out.Line("IPv6", "%s", map[bool]string{true: "yes", false: "no public address"}[r.IPv6])
}

func udpWords(r *stun.Report) string {
	if r.UDP {
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
	for _, p := range peers {
		out.Print(fmt.Sprintf("%-*s  %s", width, p.Peer, p.Outcome))
	}
}

// problems tell what is wrong with servers, and what it means.
func problems(out *console.Console, r *stun.Report) {
	first := true
	for _, s := range r.Servers {
		if s.Err == nil {
			continue
		}
		if first {
			out.Print("")
			first = false
		}
		out.Line("problem", "%s: %s", s.Server, plain(s.Err))
		if a := advice(s.Err); a != "" {
			out.Line("", "%s", a)
		}
	}
}

// plain leaves out of an error what the line says already.
func plain(err error) string {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		text := e.Err.Error()
		if errors.Is(err, stun.ErrNoTCP) {
			return fmt.Sprintf("%v: %s", stun.ErrNoTCP, text)
		}
		return text
	}
	return err.Error()
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
	case errors.Is(err, stun.ErrDisconnected), errors.Is(err, stun.ErrMalformed):
		return "It is probably no STUN server."
	}
	return ""
}

func list(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
