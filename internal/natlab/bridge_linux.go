package natlab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// A bridge is a Linux bridge in a namespace, which may be a router's. It joins links with no delay
// but the kernel's own.
type bridge struct {
	ns   *namespace
	name string
}

// addBridge makes a bridge. Its addresses are those of its namespace on it.
func (ns *namespace) addBridge(name string, addrs ...netip.Prefix) (*bridge, error) {
	err := ns.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		return configure(name, addrs)
	})
	return &bridge{ns, name}, err
}

// newBridge makes a bridge in a namespace of its own.
func newBridge() (*bridge, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	b, err := ns.addBridge("bridge")
	if err != nil {
		ns.close()
		return nil, err
	}
	return b, nil
}

// plug joins a namespace to the bridge by an uplink with these addresses, through which everything
// else is reached, by way of a router if that is valid. The port at the bridge is named after the
// first address.
func (b *bridge) plug(ns *namespace, router netip.Addr, addrs ...netip.Prefix) error {
	ns.port = addrs[0].Addr().String()
	err := ns.withFD(func(fd int) error {
		return b.ns.do(func() error { return b.addPort(ns.port, fd) })
	})
	if err != nil {
		return err
	}
	err = ns.do(func() error {
		if err := configure(uplink, addrs); err != nil {
			return err
		}
		return addRoutes(uplink, router, addrs)
	})
	if err != nil {
		return err
	}
	return b.ns.do(func() error { return awaitUp(ns.port) })
}

// addPort adds a port whose other end is the uplink of a namespace.
func (b *bridge) addPort(name string, ns int) error {
	master, err := netlink.LinkByName(b.name)
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = name, mtu, master.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: uplink, PeerNamespace: netlink.NsFd(ns)}); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	return linkUp(name)
}

// setPort cuts or restores the link of a namespace that is plugged in. The namespace's end keeps
// its addresses and routes.
func (b *bridge) setPort(ns *namespace, down bool) error {
	return b.ns.do(func() error {
		if !down {
			if err := linkUp(ns.port); err != nil {
				return err
			}
			return awaitUp(ns.port)
		}
		port, err := netlink.LinkByName(ns.port)
		if err == nil {
			err = netlink.LinkSetDown(port)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", ns.port, err)
		}
		return nil
	})
}

func (b *bridge) close() { b.ns.close() }
