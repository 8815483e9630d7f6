package natlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The functions of this file are about the links of the calling thread's namespace.

// addTUN makes a TUN device with these addresses. If it is the uplink, everything else is reached
// through it.
func (ns *namespace) addTUN(name string, uplink bool, addrs ...netip.Prefix) (tun *os.File, err error) {
	err = ns.do(func() (err error) {
		if tun, err = openTUN(name); err != nil {
			return err
		}
		if err = configure(name, addrs); err == nil && uplink {
			err = addRoutes(name, netip.Addr{}, addrs)
		}
		if err != nil {
			tun.Close()
		}
		return err
	})
	return tun, err
}

// configure gives a link its addresses and sets it up.
func configure(name string, addrs []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, err := range []error{
		netlink.LinkSetMTU(link, mtu),
		netlink.LinkSetTxQLen(link, tunQueue),
		netlink.LinkSetUp(link),
	} {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, addr := range addrs {
		if err := addAddr(name, addr); err != nil {
			return fmt.Errorf("%s: address %v: %w", name, addr, err)
		}
	}
	return nil
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// addRoutes routes everything of the addresses' families through the link, by way of a router if
// that is valid.
func addRoutes(name string, router netip.Addr, addrs []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, addr := range addrs {
		everywhere := &net.IPNet{
			IP:   make(net.IP, addr.Addr().BitLen()/8),
			Mask: net.CIDRMask(0, addr.Addr().BitLen()),
		}
		err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: everywhere, Gw: router.AsSlice()})
		if err != nil && !errors.Is(err, unix.EEXIST) { // by an address of the same family
			return fmt.Errorf("%s: route from %v: %w", name, addr, err)
		}
	}
	return nil
}

// replaceAddr replaces an IPv4 address of the uplink. The kernel removes the routes with the old
// address.
func replaceAddr(router netip.Addr, old, addr netip.Prefix) error {
	link, err := netlink.LinkByName(uplink)
	if err != nil {
		return err
	}
	gone, err := netlink.ParseAddr(old.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(link, gone); err != nil {
		return err
	}
	if err := addAddr(uplink, addr); err != nil {
		return err
	}
	return addRoutes(uplink, router, []netip.Prefix{addr})
}

// addAddr adds an address, for use at once.
func addAddr(name string, addr netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   addr.Addr().AsSlice(),
		Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen()),
	}}
	if addr.Addr().Is4() {
		return netlink.AddrAdd(link, a)
	}
	a.Flags = unix.IFA_F_NODAD // no other host on the link could have it
	if err := netlink.AddrAdd(link, a); err != nil {
		return err
	}
	return awaitLocal(addr.Addr())
}

// rotateAddr adds an IPv6 address to the uplink, and deprecates another one.
func rotateAddr(old, addr netip.Prefix) error {
	if err := addAddr(uplink, addr); err != nil {
		return err
	}
	link, err := netlink.LinkByName(uplink)
	if err != nil {
		return err
	}
	deprecated, err := netlink.ParseAddr(old.String())
	if err != nil {
		return err
	}
	deprecated.ValidLft, deprecated.PreferedLft = 24*60*60, 0
	return netlink.AddrReplace(link, deprecated)
}

// forwardBetween has the kernel forward the IPv4 packets that come in by these links. The sysctl
// does the same, but a container may not be allowed to write it.
func forwardBetween(names ...string) error {
	for _, name := range names {
		if err := forwardFrom(name); err != nil {
			return err
		}
	}
	return nil
}

func forwardFrom(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	const (
		iflaInetConf   = 1 // linux/if_link.h
		ipv4Forwarding = 1 // IPV4_DEVCONF_FORWARDING, linux/ip.h
	)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil).AddRtAttr(ipv4Forwarding, nl.Uint32Attr(1))
	req.AddData(spec)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("%s: forwarding: %w", name, err)
	}
	return nil
}

// awaitLocal waits until the kernel accepts packets for an IPv6 address of the calling thread's
// namespace. It arranges that from a work queue, and drops packets before.
func awaitLocal(addr netip.Addr) error {
	return await(func() (bool, error) {
		routes, err := netlink.RouteGet(addr.AsSlice())
		return err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL, err
	})
}

// awaitUp waits until a port of a bridge forwards. The bridge, too, hears of it from a work queue.
func awaitUp(name string) error {
	err := await(func() (bool, error) {
		link, err := netlink.LinkByName(name)
		return err == nil && link.Attrs().OperState == netlink.OperUp, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func await(inUse func() (bool, error)) error {
	// It takes about a millisecond, or a second if there is much to do; the limit is for a machine
	// that is busy.
	const interval, limit = time.Millisecond, 20 * time.Second
	for start := time.Now(); ; time.Sleep(interval) {
		ok, err := inUse()
		if ok {
			return nil
		}
		if time.Since(start) > limit {
			return errors.Join(errors.New("it does not come into use"), err)
		}
	}
}
