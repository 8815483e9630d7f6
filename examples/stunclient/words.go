package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func show(out *console.Console, r result) {
	out.Line("local", "%s", r.Local)
	out.Line("server", "%s, in %.1f ms", r.Server, r.RTT)
	out.Line("address", "%s", r.Reflexive)
	out.Line("", "%s", r.Multiaddr)
	out.Line("NAT", "%s", nat(r.Local, r.Reflexive))
}

// nat says what one answer tells about the NAT.
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

// explain says in one line what an error means to the person who runs the
// program.
func explain(err error, port uint16) string {
	var (
		failed  *stun.Error
		refused *stun.ResponseError
		name    *net.DNSError
		timeout net.Error
	)
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	if !errors.As(err, &failed) {
		return console.ExplainPort(port, err)
	}
	server := failed.Server
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("%s: there is no such host, or no DNS: %s", server, console.OneLine(name))
	case errors.Is(err, tcpport.ErrTupleTaken):
		return fmt.Sprintf("this port has just been used to ask %s, and the kernel remembers that connection: wait a minute, or take another -port", server)
	case errors.Is(err, syscall.ECONNREFUSED):
		return server + " refuses TCP connections: does the STUN server there answer over TCP, and at this port?"
	case errors.As(err, &timeout) && timeout.Timeout():
		return server + " does not answer: is it up, does it answer over TCP, and lets a firewall this port out?"
	case errors.As(err, &refused):
		return fmt.Sprintf("%s refuses to tell: error %d %q", server, refused.Code, refused.Reason)
	case errors.Is(err, stun.ErrMalformed), errors.Is(err, stun.ErrTooLong), errors.Is(err, stun.ErrTransaction):
		return fmt.Sprintf("%s does not speak STUN over TCP: %s", server, console.OneLine(failed.Err))
	case errors.Is(err, io.EOF):
		return server + " has closed the connection instead of answering: is it a STUN server, and does it answer over TCP?"
	}
	return console.OneLine(err)
}
