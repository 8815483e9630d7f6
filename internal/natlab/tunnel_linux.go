package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The tunnel's device, its addresses, and its routing table.
const (
	tunnelName  = "vpn0"
	tunnelTable = 100
)

var (
	tunnelAddr  = netip.MustParsePrefix("10.255.0.1/32")
	tunnelAddr6 = netip.MustParsePrefix("fd00:ffff::1/128")
)

// Tunnel gives the host a second interface, as a VPN program does: everything that leaves the host
// goes there but for the packets of sockets with the mark (SO_MARK). It leads nowhere. The caller
// reads the packets, one at a time, and closes the file.
func (h *Host) Tunnel(mark uint32) (*os.File, error) {
	tun, err := h.ns.addTUN(tunnelName, false, tunnelAddr, tunnelAddr6)
	if err != nil {
		return nil, fmt.Errorf("natlab: tunnel of host %q: %w", h.name, err)
	}
	err = h.ns.do(func() error {
		link, err := netlink.LinkByName(tunnelName)
		if err != nil {
			return err
		}
		for family, size := range map[int]int{unix.AF_INET: net.IPv4len, unix.AF_INET6: net.IPv6len} {
			everywhere := &net.IPNet{IP: make(net.IP, size), Mask: net.CIDRMask(0, 8*size)}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: everywhere, Table: tunnelTable}); err != nil {
				return fmt.Errorf("route: %w", err)
			}
			unmarked := netlink.NewRule()
			unmarked.Family, unmarked.Mark, unmarked.Invert, unmarked.Table = family, mark, true, tunnelTable
			if err := netlink.RuleAdd(unmarked); err != nil {
				return fmt.Errorf("rule: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		tun.Close()
		return nil, fmt.Errorf("natlab: tunnel of host %q: %w", h.name, err)
	}
	return tun, nil
}
