package main

import (
	"context"
	"fmt"
	"os"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// A check is what was found out.
type check struct {
	*stun.Report

	// unconfirmed is why connections may get out to some ports only, as one server alone shows. Nil
	// if none shows it, or if a second one does.
	unconfirmed *problem
}

// nothing returns why nothing was learned of the NAT to the Internet, or "".
func (c *check) nothing() string {
	switch {
	case len(c.Addrs) == 0:
		return "no server could be asked over TCP, so nothing is known of the NAT"
	case c.within():
		return "the server is in your own network, so nothing is known of the NAT to the Internet"
	}
	return ""
}

// within reports whether the servers are in this host's own network: they saw none but private
// addresses of it. The NAT to the Internet has not been passed then.
func (c *check) within() bool {
	for _, a := range c.Addrs {
		m, err := manet.FromIP(a.AsSlice())
		if err != nil || !manet.IsPrivateAddr(m) {
			return false
		}
	}
	return len(c.Addrs) > 0
}

// udp reports whether UDP gets out. Without an answer that is known only of a server which
// certainly serves UDP: one with two addresses does, by RFC 5780.
func (c *check) udp() stun.Fact {
	if c.UDP {
		return stun.Yes
	}
	for _, s := range c.Servers {
		if s.Other.IsValid() {
			return stun.No
		}
	}
	return stun.Unknown
}

// findEgress finds out whether connections get out to any port. A Yes takes one server, a No two at
// different addresses, for a server can forge either, and a wrong No does more harm. In the lab the
// server is this program's own.
func (c *check) findEgress(ctx context.Context) {
	var no *stun.ServerReport
	_, ownServer := os.LookupEnv(checkEnv)
	for i := range c.Servers {
		s := &c.Servers[i]
		if !s.Mapped.IsValid() || no != nil && s.Addr.Addr() == no.Addr.Addr() {
			continue
		}
		fact, err := stun.Discoverer{}.Egress(ctx, s.Addr)
		switch {
		case fact == stun.Yes && no == nil, fact == stun.No && (no != nil || ownServer):
			c.Egress, c.unconfirmed = fact, nil
			return
		case fact == stun.Yes:
			return // they contradict each other
		case fact == stun.No:
			no = s
			c.unconfirmed = &problem{s.Server, fmt.Sprintf("connections seem to get out to some ports only, which no other server has confirmed: %v", err)}
		}
	}
}
