package stun

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
)

// ServePacket answers Binding requests that arrive over UDP through pc, until Shutdown or Close,
// and then returns ErrServerClosed. It closes pc in any case.
//
// It lets clients find out whether UDP leaves their network. The source address of a datagram may
// be forged. A response is therefore at most 2.4 times as long as the request (56 bytes for 24; for
// a plain one 32 for 20, or 44 with IPv6), has no OTHER-ADDRESS, and the server does not connect
// back.
func (s *Server) ServePacket(pc net.PacketConn) error {
	defer func() { _ = pc.Close() }()
	remove, ok := s.addListener(pc)
	if !ok {
		return ErrServerClosed
	}
	defer remove()
	var pause backoff
	b := make([]byte, maxMessage+1) // shows what is too long
	for {
		n, from, err := pc.ReadFrom(b)
		switch {
		case s.closing():
			return ErrServerClosed
		case err == nil:
			pause = 0
			if response := respondToPacket(b[:n], addrPort(from)); response != nil {
				s.counters.inc(countUDPRequest)
				_, _ = pc.WriteTo(response, from) // the client repeats its request
			} else {
				s.counters.inc(countMalformed)
			}
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			pause.wait(s.ctx.Done()) // an ICMP error about a response, or no memory
		}
	}
}

// respondToPacket returns the response to the request in a datagram, or nil if there is to be none.
func respondToPacket(datagram []byte, client netip.AddrPort) []byte {
	if !client.IsValid() {
		return nil
	}
	r := responder{terse: true}
	r.setClient(client, netip.AddrPort{})
	in := bufio.NewReaderSize(bytes.NewReader(datagram), maxMessage)
	if readMessage(in, &r.req) != nil || len(r.req.Raw) != len(datagram) {
		return nil
	}
	return r.respond(nil)
}
