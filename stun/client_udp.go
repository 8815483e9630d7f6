package stun

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// udpRTO is the time between two transmissions of a request. RFC 8489 section 6.2.1 doubles it
	// each time; it is constant here, for four to fit into udpTime.
	udpRTO  = 500 * time.Millisecond
	udpTime = 2 * time.Second
)

// respondsOverUDP reports whether a server answers a Binding request over UDP, whatever the answer
// is.
func respondsOverUDP(ctx context.Context, server netip.AddrPort, control tcpport.Control) bool {
	conn, err := tcpport.DialUDP(server, control)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	req, err := pion.Build(pion.TransactionID, pion.BindingRequest, pion.Fingerprint)
	if err != nil {
		return false
	}
	b := make([]byte, maxMessage)
	for range udpTime / udpRTO {
		_, _ = conn.Write(req.Raw) // it may return the previous request's error
		_ = conn.SetReadDeadline(time.Now().Add(udpRTO))
		for {
			n, err := conn.Read(b)
			if errors.Is(err, syscall.ECONNREFUSED) { // never on Windows
				return false // from the server's host, or from a firewall
			}
			if err != nil {
				break
			}
			m := new(pion.Message)
			if pion.Decode(b[:n], m) == nil && m.TransactionID == req.TransactionID {
				return true
			}
		}
	}
	return false
}
