package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/rendezvous"
)

// stunPort is the one that examples/peer assumes (RFC 8489, section 18.6).
const stunPort = 3478

// announce prints what peers need, as flags of examples/peer.
func announce(out *console.Console, server *rendezvous.Server) {
	info := server.Info()
	out.Line("relay", "%s", info.ID)
	out.Line("STUN", "%s, over TCP", server.STUNAddr())
	out.Print("", "Flags for examples/peer, with each address:", "")
	for _, a := range info.Addrs {
		out.Print("  " + peerFlags(info.ID, a, server.STUNAddr()))
	}
	if !slices.ContainsFunc(info.Addrs, manet.IsPublicAddr) {
		out.Print("", "None of them is public. If a public address leads to this machine, put it in place.")
	}
	out.Print("")
}

// peerFlags returns the flags with which a peer uses the relay at one of its addresses.
func peerFlags(id peer.ID, addr ma.Multiaddr, stun *net.TCPAddr) string {
	flags := fmt.Sprintf("-relay %s/p2p/%s", addr, id)
	ip := stun.IP
	if ip.IsUnspecified() {
		if stun.Port == stunPort {
			return flags // what a peer without -stun makes of it
		}
		ip, _ = manet.ToIP(addr) // the host's addresses are of its interfaces
	}
	return flags + " -stun " + net.JoinHostPort(ip.String(), strconv.Itoa(stun.Port))
}
