package tcpport

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// A Control gets a socket before it is bound, as that of [net.Dialer] and [net.ListenConfig] does.
// An error of it is the socket's.
type Control = func(network, address string, c syscall.RawConn) error

// all combines several Controls, some of which may be nil.
func all(controls ...Control) Control {
	controls = slices.DeleteFunc(controls, func(f Control) bool { return f == nil })
	return func(network, address string, c syscall.RawConn) error {
		for _, f := range controls {
			if err := f(network, address, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// DialUDP connects a UDP socket that control has got. Nothing is sent.
func DialUDP(to netip.AddrPort, control Control) (net.Conn, error) {
	d := net.Dialer{Control: control}
	return d.DialContext(context.Background(), "udp", to.String())
}

// SourceAddr returns the address from which the host sends to another one: it is the routes', and
// that of a socket which control has bound to an interface, or marked. Nothing is sent. The error
// says that there is no route, or matches [ErrShort].
func SourceAddr(to netip.AddrPort, control Control) (netip.Addr, error) {
	c, err := DialUDP(to, control)
	if err != nil {
		return netip.Addr{}, withShort(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// HasAddr reports whether an address is one of the host's. The system is asked by binding a socket
// that control has got, which it allows also where it does not list the interfaces.
func HasAddr(a netip.Addr, control Control) bool {
	lc := net.ListenConfig{Control: control}
	c, err := lc.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(a, 0).String())
	if err == nil {
		c.Close()
	}
	return !isNotLocal(err)
}

// PublicIPv6 returns the address from which the host sends over IPv6, and false if that is no
// public address or there is no route. Without a NAT, as usual in IPv6, the host's TCP ports are
// reachable there, if a firewall admits the SYN.
func PublicIPv6(control Control) (netip.Addr, bool) {
	anybody := netip.MustParseAddrPort("[2000::1]:9") // the first public one, RFC 4291 section 2.4
	source, err := SourceAddr(anybody, control)
	if err != nil || !ipaddr.IsPublic(source) {
		return netip.Addr{}, false
	}
	return source, true
}
