package console

import (
	"errors"
	"flag"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// NATFlag adds a flag that takes a NAT of the lab. The words are explained by [NATWords].
func NATFlag(flags *flag.FlagSet, name string, nat *natlab.Behaviour, usage string) {
	if *nat != (natlab.Behaviour{}) {
		usage += " (default " + nat.String() + ")"
	}
	flags.Func(name, usage, func(s string) (err error) {
		*nat, err = natlab.ParseBehaviour(s)
		return errors.Unwrap(err) // the rest is in the line already
	})
}

// NATWords explains, for the end of a program's help, how a NAT of the lab is named.
const NATWords = `The words of NAT:
  public                   no NAT: a public address
  MAPPING-FILTERING[-UNSOLICITED][-PORTS][-EXTRA...]
                           an emulated NAT, as in eim-apdf-rst
  kernel[-INPUT][-RULE...]
                           a Linux kernel's own NAT (nftables), as in
                           kernel-rst-random

  MAPPING      which outer port a connection gets
    eim          one for all destinations
    adm          one for each remote address
    apdm         one for each remote address and port
  FILTERING    whom it lets in to that port
    eif          anybody
    adf          addresses that it has sent to
    apdf         addresses and ports that it has sent to
  UNSOLICITED  what other SYNs get: drop (the default), rst, icmp
  PORTS        how an outer port is chosen
    preserve     the inner one, if it is free (the default)
    overload     the inner one, unless a neighbour has it to the same
                 destination (with apdm)
    sequential, sequential2, descending, descending2
                 the one before's, and 1 or 2 more or less
    random       at random
  EXTRA        as many as are wanted
    rstkills     a RST that passes ends the mapping
    nosyn        lets no SYN in, not even from where one was sent to
    hairpin, hairpininside
                 inside hosts reach each other by the outer address; the second
                 shows the receiver an inside address
    pool4        four outer addresses, one at random for each mapping
    blocks16     16 outer ports in all
    synlimit     answers five unsolicited SYNs, then one a second, drops others
    clash        who was refused keeps a session for 10 s: the inside host's own
                 SYN to the same port gets another outer port (with overload)
    noudp        blocks UDP
    egressdrop, egressrst, egressicmp
                 lets out only TCP to ports 443 and 4001, and what others get
    proxysilent, proxyclose, proxynoise
                 a transparent proxy accepts all connections to ports from 10000
                 up, and says nothing, closes, or sends an error
  INPUT        what other SYNs get from the router: drop (the default), rst (a
               rule rejects them), accept (no firewall: its kernel refuses them)
  RULE         as many as are wanted
    random, fullyrandom, persistent
                 as in nftables
    snat4        four outer addresses, one at random for each connection
    blocks16     16 outer ports
    invalid      drops packets of ct state invalid
    nosyn        drops a SYN that answers a SYN
    firewall     a public address behind a stateful firewall, no translation`
