package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func show(out *console.Console, r result) {
	out.Line("local", "%s", r.Local)
	out.Line("server", "%s, in %.1f ms", r.Server, r.RTT)
	out.Line("address", "%s", r.Reflexive)
	out.Line("", "%s", r.Multiaddr)
	out.Line("NAT", "%s", nat(r.Local, r.Reflexive))
}

// nat says what one answer shows of the NAT.
func nat(local, reflexive netip.AddrPort) string {
	switch {
	case local == reflexive:
		return "none on the way to this server"
	case local.Port() == reflexive.Port():
		return "another address, the same port"
	default:
		return "another address and port; ask a second server whether it is the same there"
	}
}

// explain returns in one line what an error means to the user of the program.
func explain(err error, port uint16) string {
	var failed *stun.Error
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	if !errors.As(err, &failed) {
		return console.ExplainPort(port, err)
	}
	return console.ExplainSTUN(failed)
}
