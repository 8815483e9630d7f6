package transport

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// pSimopen is the code of the multiaddr protocol /simopen, from the range that the multicodec table
// leaves to private use (0x300000 to 0x3fffff).
const pSimopen = 0x30534f

// simopenAddr is the address at which the swarm dials a peer and listens by this transport. An
// address with /p2p-circuit would go to the circuit transport.
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

// isSimopen reports whether an address is /simopen.
func isSimopen(a ma.Multiaddr) bool {
	return len(a) == 1 && a[0].Protocol().Code == pSimopen
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

// toMultiaddr returns an address as a multiaddr, or nil for an invalid one, such as that of an
// event that has none.
func toMultiaddr(a netip.AddrPort) ma.Multiaddr {
	m, err := manet.FromNetAddr(net.TCPAddrFromAddrPort(a))
	if err != nil {
		return nil
	}
	return m
}

// netMultiaddr returns the address of a TCP connection as a multiaddr.
func netMultiaddr(a net.Addr) ma.Multiaddr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return nil
	}
	ap := tcp.AddrPort()
	return toMultiaddr(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

func toMultiaddrs(addrs []netip.AddrPort) []ma.Multiaddr {
	ms := make([]ma.Multiaddr, len(addrs))
	for i, a := range addrs {
		ms[i] = toMultiaddr(a)
	}
	return ms
}

// isRelayed reports whether a relay carries the connection, limited or not.
func isRelayed(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}
