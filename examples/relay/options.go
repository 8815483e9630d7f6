package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/daemon"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
)

const (
	// relayPort is libp2p's usual one.
	relayPort = 4001

	// stunPort is the one that examples/peer assumes (RFC 8489, section 18.6).
	stunPort = 3478
)

type options struct {
	daemon.Options
	server  rendezvous.Config
	keyFile string
}

func parse(args []string) options {
	var o options
	cfg := &o.server
	limits := rendezvous.DefaultLimits()
	cfg.Limits = &limits
	cfg.STUN = fmt.Sprintf(":%d", stunPort)
	var announce []string
	var verbose bool

	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Relay is a meeting point for peers behind NATs: a libp2p circuit relay, and a STUN server over TCP. " +
			"It needs an address that all of them reach.",
		Synopsis: []string{"relay [flags]"},
		Notes:    "As a service, with systemd or in a container: docs/operations.md.",
	})
	flags.Func("listen", fmt.Sprintf("listen at `multiaddr`; may be repeated (default port %d of all addresses, IPv4 and IPv6)", relayPort), func(s string) error {
		a, err := ma.NewMultiaddr(s)
		cfg.Listen = append(cfg.Listen, a)
		return err
	})
	flags.Func("announce", "tell peers this `address`, a multiaddr, an IP address or a name, in place of this machine's; "+
		"may be repeated. For machines whose public address is elsewhere, as in most clouds", func(s string) error {
		announce = append(announce, s)
		return nil
	})
	flags.Func("stun", fmt.Sprintf("serve STUN at `host:port`, or off (default :%d)", stunPort), func(s string) (err error) {
		if cfg.STUN = s; s == "off" {
			cfg.STUN = ""
			return nil
		}
		_, _, err = net.SplitHostPort(s)
		return err
	})
	flags.StringVar(&o.keyFile, "key", "", "keep the identity in `file` (default a new one at each start)")
	flags.Func("allow", "relay for these `peers` alone, by peer ID, separated by commas; may be repeated (default all)", func(s string) error {
		for id := range strings.SplitSeq(s, ",") {
			p, err := peer.Decode(strings.TrimSpace(id))
			if err != nil {
				return fmt.Errorf("%q is no peer ID", id)
			}
			cfg.Allow = append(cfg.Allow, p)
		}
		return nil
	})
	unlimited := addLimitFlags(flags, &limits.Relay)
	stunserver.AddLimitFlags(flags, &limits.STUN, "stun-")
	o.AddFlags(flags)
	console.LogFlag(flags, &verbose)

	console.Parse(flags, args, func() (err error) {
		if *unlimited {
			limits.Relay.Limit = nil
		}
		if !given(flags, perASN) {
			limits.Relay.MaxReservationsPerASN = limits.Relay.MaxReservations
		}
		if cfg.Listen == nil {
			cfg.Listen = everywhere()
		}
		for _, s := range announce {
			addrs, err := rendezvous.ParseAnnounce(s, cfg.Listen)
			if err != nil {
				return fmt.Errorf("-announce: %w", err)
			}
			cfg.Announce = append(cfg.Announce, addrs...)
		}
		return console.NoArgs(flags)
	})
	console.Log(verbose)
	return o
}

// perASN is the flag whose default is another flag's value.
const perASN = "reservations-per-asn"

// given reports whether a flag is among the arguments.
func given(flags *flag.FlagSet, name string) (yes bool) {
	flags.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// addLimitFlags adds the flags of the relay's limits.
func addLimitFlags(flags *flag.FlagSet, res *relay.Resources) (unlimited *bool) {
	daemon.NumberFlag(flags, &res.MaxReservations, "reservations", "have at most `n` reservations, of 64 kB each; the default is one for 160 kB of memory, 50,000 at most")
	daemon.NumberFlag(flags, &res.MaxReservationsPerIP, "reservations-per-ip", "have at most `n` reservations of one IP address, and four times as many connections")
	daemon.NumberFlag(flags, &res.MaxReservationsPerASN, perASN, "have at most `n` reservations of one provider, an autonomous system; IPv6 only; the default is that of all")
	daemon.NumberFlag(flags, &res.MaxCircuits, "circuits", "have at most `n` relayed connections of one peer at a time")
	flags.Func("duration", fmt.Sprintf("end a relayed connection after this `duration` (default %v)", res.Limit.Duration), func(s string) (err error) {
		res.Limit.Duration, err = time.ParseDuration(s)
		if err == nil && res.Limit.Duration < time.Second { // peers get it in seconds
			err = errors.New("want at least 1s")
		}
		return err
	})
	flags.Func("data", fmt.Sprintf("end a relayed connection after `n` KiB in one direction (default %d)", res.Limit.Data>>10), func(s string) error {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n == 0 {
			return errors.New("want a number, at least 1")
		}
		res.Limit.Data = int64(n) << 10
		return nil
	})
	return flags.Bool("unlimited", false, "end relayed connections for neither of these two")
}

// everywhere returns the address for all addresses of a family, of those that this machine has.
func everywhere() []ma.Multiaddr {
	all := []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", relayPort))}
	if l, err := net.Listen("tcp6", "[::]:0"); err == nil {
		l.Close()
		all = append(all, ma.StringCast(fmt.Sprintf("/ip6/::/tcp/%d", relayPort)))
	}
	return all
}
