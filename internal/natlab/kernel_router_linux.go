package natlab

import (
	"net/netip"
	"os"
	"sync"
)

// A router is a namespace that forwards and translates for a site: a Linux kernel in the place of
// the [NAT].
//
// On the core both of its links are TUN devices, so that its packets pass through the lab's process
// before and after. On a bridge, its LAN is a bridge of its own and its uplink a port of the lab's.
type router struct {
	ns       *namespace
	lan, wan *os.File // nil on a bridge
	ports    *bridge  // of the LAN; nil on the core
	reading  sync.WaitGroup
}

// carrierAddr is the address of a router on the network between it and sites behind its own, whose
// external addresses are in this prefix (RFC 6598).
var carrierAddr = netip.MustParsePrefix("100.127.255.254/10")

// newRouter makes the site's router.
func newRouter(s *Site, b Behaviour) (*router, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	r := &router{ns: ns}
	if err = r.join(s); err == nil {
		err = ns.do(func() error { return forwardBetween(lan, uplink) })
	}
	if err == nil {
		err = ns.setRules(b, s.external)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	if r.lan != nil {
		r.reading.Go(func() { readPackets(r.lan, s.fromRouterLAN) })
		r.reading.Go(func() { readPackets(r.wan, s.fromRouterWAN) })
	}
	return r, nil
}

// join makes the router's links.
func (r *router) join(s *Site) (err error) {
	inside := netip.PrefixFrom(s.gateway(), sitePrefix)
	var outside []netip.Prefix
	for _, addr := range s.routerAddrs() {
		outside = append(outside, netip.PrefixFrom(addr, addr.BitLen()))
	}
	if s.bridged() {
		if r.ports, err = r.ns.addBridge(lan, inside); err == nil {
			err = s.lab.bridge.plug(r.ns, netip.Addr{}, outside...)
		}
		return err
	}
	if r.lan, err = r.ns.addTUN(lan, false, inside, carrierAddr); err == nil {
		r.wan, err = r.ns.addTUN(uplink, true, outside...)
	}
	return err
}

func (r *router) close() {
	for _, tun := range []*os.File{r.lan, r.wan} {
		if tun != nil {
			tun.Close()
		}
	}
	r.ns.close()
	r.reading.Wait()
}
