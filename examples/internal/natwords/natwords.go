// Package natwords says in words what the name of an emulated NAT means.
package natwords

import (
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// Describe returns what the words of a NAT's behaviour mean, one line each.
func Describe(b natlab.Behaviour) []string {
	if b == (natlab.Behaviour{}) {
		return []string{"a public address, no NAT"}
	}
	mapping := map[natlab.Mapping]string{
		natlab.Public: "a public address",
		natlab.EIM:    "one outer port for all destinations",
		natlab.ADM:    "an outer port for each address",
		natlab.APDM:   "an outer port for each address and port",
	}
	ports := map[natlab.Ports]string{
		natlab.PortPreserve:    "",
		natlab.PortOverload:    ", the inner one where it can",
		natlab.PortSequential:  ", counting up",
		natlab.PortSequential2: ", counting up by two",
		natlab.PortDescending:  ", counting down",
		natlab.PortDescending2: ", counting down by two",
		natlab.PortRandom:      ", at random",
	}
	filtering := map[natlab.Filtering]string{
		natlab.EIF:  "lets anybody in to that port",
		natlab.ADF:  "lets in whom it has sent to, from any port",
		natlab.APDF: "lets in whom it has sent to, from that port",
	}
	unsolicited := map[natlab.Unsolicited]string{
		natlab.UnsolicitedDrop: "drops other SYNs",
		natlab.UnsolicitedRST:  "refuses other SYNs with a RST",
		natlab.UnsolicitedICMP: "refuses other SYNs by ICMP",
	}
	const egress = "lets out only TCP to ports 443 and 4001, and "
	const proxy = "has a proxy before it, which accepts all to ports from 10000 up and "
	lines := []string{mapping[b.Mapping] + ports[b.Ports], filtering[b.Filtering], unsolicited[b.Unsolicited]}
	if b.Kernel.On {
		lines = slices.Insert(lines, 0, "a Linux kernel, not an emulation")
	}
	for _, extra := range []struct {
		on   bool
		text string
	}{
		{b.RSTKills, "forgets a port when a RST passes"},
		{b.NoSYN && !b.Kernel.On, "never lets a SYN in"},
		{b.NoSYN && b.Kernel.On, "drops a SYN that answers a SYN"},
		{b.Kernel.Accept, "has no firewall: its own sockets refuse them"},
		{b.Kernel.Invalid, "drops what connection tracking takes for invalid"},
		{b.Hairpin, "hairpins"},
		{b.HairpinInside, "hairpins, and shows the receiver an inside address"},
		{b.Pool4 && !b.Kernel.Persistent, "has four outer addresses, one at random for each mapping"},
		{b.Pool4 && b.Kernel.Persistent, "has four outer addresses, of which a host keeps one"},
		{b.Blocks16, "has sixteen outer ports in all"},
		{b.Clash, "keeps a session with who was refused, so that its hosts' SYNs there get another port"},
		{b.SYNLimit, "answers few of many other SYNs, and drops the rest"},
		{b.NoUDP, "blocks UDP"},
		{b.Egress == natlab.EgressDrop, egress + "drops others"},
		{b.Egress == natlab.EgressRST, egress + "refuses others with a RST"},
		{b.Egress == natlab.EgressICMP, egress + "refuses others by ICMP"},
		{b.Proxy == natlab.ProxySilent, proxy + "says nothing"},
		{b.Proxy == natlab.ProxyClose, proxy + "closes"},
		{b.Proxy == natlab.ProxyNoise, proxy + "sends an error"},
	} {
		if extra.on {
			lines = append(lines, extra.text)
		}
	}
	return lines
}
