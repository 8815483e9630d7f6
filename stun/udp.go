package stun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	pion "github.com/pion/stun/v3"
)

// udpFate is what became of a Binding request over UDP.
type udpFate uint8

const (
	udpSilent udpFate = iota
	udpAnswered
)

const (
	// udpRTO is between a request and its first repetition (RFC 8489 section
	// 6.2.1), and between the others too, for three to fit into udpTime.
	udpRTO  = 500 * time.Millisecond
	udpTime = 2 * time.Second
)

// askUDP sends a Binding request to a server. What the answer says does not matter.
func askUDP(ctx context.Context, server netip.AddrPort) udpFate {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return udpSilent
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	req, err := pion.Build(pion.TransactionID, pion.BindingRequest, pion.Fingerprint)
	if err != nil {
		return udpSilent
	}
	b := make([]byte, maxMessage)
	for range udpTime / udpRTO {
		_, _ = conn.Write(req.Raw) // it may report the error that came for the one before
		_ = conn.SetReadDeadline(time.Now().Add(udpRTO))
		for {
			n, err := conn.Read(b)
			if errors.Is(err, syscall.ECONNREFUSED) { // never on Windows
				return udpSilent // it may come from the server's host, or from a firewall
			}
			if err != nil {
				break
			}
			m := new(pion.Message)
			if pion.Decode(b[:n], m) == nil && m.TransactionID == req.TransactionID {
				return udpAnswered
			}
		}
	}
	return udpSilent
}

// sourceFor returns the local address from which addr is sent to. Nothing is sent.
func sourceFor(addr netip.AddrPort) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = conn.Close() }()
	return udpAddrPort(conn.LocalAddr()).Addr(), nil
}

// PublicIPv6 returns the address from which this host sends to others in IPv6, if
// that is a public one and there is a route. Where no NAT is in the way, as usual in
// IPv6, its TCP ports can be reached there, past the firewall.
func PublicIPv6() (addr netip.Addr, ok bool) {
	anybody := netip.MustParseAddrPort("[2000::1]:3478") // the first one in public, RFC 4291 section 2.4
	source, err := sourceFor(anybody)
	return source, err == nil && public(source)
}
