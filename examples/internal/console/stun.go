package console

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// ExplainSTUN explains in one line why a STUN server did not answer, and what to do.
func ExplainSTUN(failed *stun.Error) string {
	server := failed.Server
	var (
		refused *stun.ResponseError
		name    *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(failed, &name):
		return fmt.Sprintf("%s: there is no such host, or no DNS: %s", server, name.Err)
	case errors.Is(failed, tcpport.ErrTupleTaken):
		return fmt.Sprintf("this port has just been used to ask %s, and the kernel remembers that connection: wait a minute, or take another -port", server)
	case errors.Is(failed, syscall.ECONNREFUSED):
		return server + " refuses TCP connections: does the STUN server there answer over TCP, and at this port?"
	case errors.As(failed, &timeout) && timeout.Timeout():
		return server + " does not answer: is it up, does it answer over TCP, and lets a firewall this port out?"
	case errors.As(failed, &refused):
		return fmt.Sprintf("%s refuses to tell: error %d %q", server, refused.Code, refused.Reason)
	case errors.Is(failed, stun.ErrMalformed), errors.Is(failed, stun.ErrTooLong), errors.Is(failed, stun.ErrTransaction):
		return fmt.Sprintf("%s does not speak STUN over TCP: %s", server, OneLine(failed.Err))
	case errors.Is(failed, io.EOF):
		return server + " has closed the connection instead of answering: is it a STUN server, and does it answer over TCP?"
	}
	return OneLine(failed)
}
