package console

// NATWords explains, for a flag's help, how an emulated NAT is named.
const NATWords = `public, or MAPPING-FILTERING[-UNSOLICITED][-PORTS][-EXTRA...], as in eim-apdf-rst
MAPPING      one outer port (eim), one for each remote address (adm) or each endpoint (apdm)
FILTERING    lets in anybody (eif), addresses (adf) or endpoints (apdf) that were sent to
UNSOLICITED  answer to others: none (drop, the default), rst, icmp
PORTS        preserve (the default), overload (as Linux does), sequential, sequential2,
             descending, descending2, random
EXTRA        rstkills (a RST ends a mapping), nosyn (lets no SYN in), noudp,
             hairpin, hairpininside (it shows the inside address),
             pool4 (four outer addresses, one at random for each mapping),
             blocks16 (16 outer ports in all), synlimit (answers one SYN a second),
             egressdrop, egressrst, egressicmp (lets out only TCP to ports 443 and 4001),
             proxysilent, proxyclose, proxynoise (a transparent proxy before the NAT accepts all
             connections to ports from 10000 up, and says nothing, closes, or sends an error)
or a Linux kernel, not emulated: kernel[-INPUT][-RULE...], as in kernel-rst-random
INPUT        what others' SYNs get: drop (the default), rst, accept (the router has no firewall,
             and its own sockets answer with a RST)
RULE         random, fullyrandom, persistent (as in nftables), snat4 (four outer addresses),
             blocks16 (16 outer ports), invalid (drops ct state invalid), nosyn (drops a SYN that
             answers a SYN), firewall (a public address behind a firewall, no translation)`
