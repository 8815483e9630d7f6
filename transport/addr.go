package transport

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// pSimopen is the code of the multiaddr protocol /simopen, from the range that
// the multicodec table leaves to private use (0x300000 to 0x3fffff).
const pSimopen = 0x30534f

var simopenAddr ma.Multiaddr

func init() {
	if err := ma.AddProtocol(ma.Protocol{
		Name:  "simopen",
		Code:  pSimopen,
		VCode: ma.CodeToVarint(pSimopen),
	}); err != nil {
		panic(err)
	}
	simopenAddr = ma.StringCast("/simopen")
}

// isSimopen matches /simopen, and /simopen after an IP address and a TCP port.
func isSimopen(a ma.Multiaddr) bool {
	if len(a) == 0 || a[len(a)-1].Protocol().Code != pSimopen {
		return false
	}
	if len(a) == 1 {
		return true
	}
	ip := a[0].Protocol().Code
	return len(a) == 3 && (ip == ma.P_IP4 || ip == ma.P_IP6) && a[1].Protocol().Code == ma.P_TCP
}

// target is the address that /simopen follows, or invalid for a bare /simopen.
func target(a ma.Multiaddr) netip.AddrPort {
	if len(a) != 3 {
		return netip.AddrPort{}
	}
	ap, _ := fromMultiaddr(a[:2])
	return ap
}

// fromMultiaddr reads an address of an IP address and a TCP port and nothing else.
func fromMultiaddr(a ma.Multiaddr) (netip.AddrPort, bool) {
	if len(a) != 2 || a[0].Code() != ma.P_IP4 && a[0].Code() != ma.P_IP6 || a[1].Code() != ma.P_TCP {
		return netip.AddrPort{}, false
	}
	// Not by manet, which does not know IPv4-mapped addresses, and looks up names.
	ip, ok := netip.AddrFromSlice(a[0].RawValue())
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(a[1].RawValue())), ok
}

func toMultiaddr(a netip.AddrPort) ma.Multiaddr {
	m, err := manet.FromNetAddr(net.TCPAddrFromAddrPort(a))
	if err != nil {
		return nil // an invalid address, as of an event that has none
	}
	return m
}

func toMultiaddrs(cs []holepunch.Candidate) []ma.Multiaddr {
	ms := make([]ma.Multiaddr, len(cs))
	for i, c := range cs {
		ms[i] = toMultiaddr(c.Addr)
	}
	return ms
}

// isRelayed tells a connection that a relay carries, limited or not.
func isRelayed(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}
