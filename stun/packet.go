package stun

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
)

// ServePacket answers Binding requests that come over UDP through pc, until
// Shutdown or Close, and then returns ErrServerClosed. It closes pc in any case.
//
// It exists for clients to find out whether UDP gets out of their network. The
// sender of a datagram may not be who it says, so an answer is at most 2.4 times as
// long as the request (56 bytes for 24; for a plain one 32 for 20, or 44 with IPv6),
// and there is neither OTHER-ADDRESS nor a connecting back.
func (s *Server) ServePacket(pc net.PacketConn) error {
	defer func() { _ = pc.Close() }()
	remove, ok := s.addListener(pc)
	if !ok {
		return ErrServerClosed
	}
	defer remove()
	var pause backoff
	b := make([]byte, maxMessage+1) // to tell what is too long
	for {
		n, from, err := pc.ReadFrom(b)
		switch {
		case s.closing():
			return ErrServerClosed
		case err == nil:
			pause = 0
			if answer := answerPacket(b[:n], udpAddrPort(from)); answer != nil {
				_, _ = pc.WriteTo(answer, from) // what gets lost is asked again
			}
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			pause.wait(s.done) // an ICMP error about an answer, or no memory
		}
	}
}

// answerPacket returns the response to the request in a datagram, or nil if there
// is to be none.
func answerPacket(datagram []byte, client netip.AddrPort) []byte {
	if !client.IsValid() {
		return nil
	}
	r := responder{terse: true}
	r.setClient(client, netip.AddrPort{})
	in := bufio.NewReaderSize(bytes.NewReader(datagram), maxMessage)
	if readMessage(in, &r.req) != nil || len(r.req.Raw) != len(datagram) {
		return nil
	}
	return r.answer(nil)
}

func udpAddrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
