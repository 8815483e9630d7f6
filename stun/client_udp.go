package stun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

const (
	// udpRTO is the time between two transmissions of a request. RFC 8489 section 6.2.1 doubles it
	// each time; it is constant here, for four to fit into udpTime.
	udpRTO  = 500 * time.Millisecond
	udpTime = 2 * time.Second
)

// respondsOverUDP reports whether a server answers a Binding request over UDP, whatever the answer
// is.
func respondsOverUDP(ctx context.Context, server netip.AddrPort) bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
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

// sourceFor returns the local address from which the host sends to addr. Nothing is sent.
func sourceFor(addr netip.AddrPort) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = conn.Close() }()
	return addrPort(conn.LocalAddr()).Addr(), nil
}

// PublicIPv6 returns the address from which this host sends over IPv6, and false if that is no
// public address or there is no route. Without a NAT, as usual in IPv6, the host's TCP ports are
// reachable there, if a firewall admits the SYN.
func PublicIPv6() (netip.Addr, bool) {
	anybody := netip.MustParseAddrPort("[2000::1]:3478") // the first public one, RFC 4291 section 2.4
	source, err := sourceFor(anybody)
	if err != nil || !ipaddr.IsPublic(source) {
		return netip.Addr{}, false
	}
	return source, true
}
