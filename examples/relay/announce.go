package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// Announce prints the relay's identity and addresses, and what peers need, as flags of
// examples/peer.
func (s server) Announce(out *console.Console) {
	info, stun, cfg := s.Info(), s.STUNAddr(), s.options.server
	out.Line("relay", "%s", info.ID)
	switch {
	case stun == nil:
		out.Line("STUN", "off: peers learn their addresses from the relay")
	case stun.IP.IsUnspecified():
		out.Line("STUN", "port %d of all addresses, over TCP", stun.Port)
	default:
		out.Line("STUN", "%s, over TCP", stun)
	}
	res := cfg.Limits.Relay
	out.Line("limits", "%d reservations, %d of one IP address, %d circuits of one peer", res.MaxReservations, res.MaxReservationsPerIP, res.MaxCircuits)
	if l := res.Limit; l == nil {
		out.Line("", "none for a relayed connection")
	} else {
		out.Line("", "%v and %s each way for a relayed connection", l.Duration, console.Size(l.Data))
	}
	if cfg.Allow != nil {
		out.Line("serves", "the peers of -allow alone, %d", len(cfg.Allow))
	}
	if s.options.keyFile == "" {
		out.Line("note", "the peer ID is another one after the next start: -key keeps it")
	}
	out.Print("", "Flags for examples/forward and examples/peer, with each address:", "")
	slices.SortStableFunc(info.Addrs, func(a, b ma.Multiaddr) int { return cmp.Compare(reach(a), reach(b)) })
	for _, a := range info.Addrs {
		out.Print("  " + peerFlags(info.ID, a, stun, cfg.Announce != nil))
	}
	if cfg.Announce == nil && !slices.ContainsFunc(info.Addrs, manet.IsPublicAddr) {
		out.Print("", "None of them is public. If a public address leads to this machine, name it with -announce.")
	}
	out.Print("")
}

// reach sorts addresses by where they can be reached from: the world, the site, this machine.
func reach(a ma.Multiaddr) int {
	switch {
	case manet.IsIPLoopback(a):
		return 2
	case manet.IsPrivateAddr(a):
		return 1
	}
	return 0
}

// peerFlags returns the flags with which a peer uses the relay at one of its addresses. stun is
// where the STUN server listens, or nil. If the address is one that is only announced, the server
// is there, too.
func peerFlags(id peer.ID, addr ma.Multiaddr, stun *net.TCPAddr, announced bool) string {
	flags := fmt.Sprintf("-relay %s/p2p/%s", addr, id)
	if stun == nil {
		return flags
	}
	host := stun.IP.String()
	if announced || stun.IP.IsUnspecified() {
		if stun.Port == stunPort {
			return flags // what a peer without -stun makes of it
		}
		host = addr[0].Value() // the host's addresses are of its interfaces
	}
	return flags + " -stun " + net.JoinHostPort(host, strconv.Itoa(stun.Port))
}
