package natlab

import (
	"net/netip"
	"os"
	"sync"
)

// lan is the name of a router's other link.
const lan = "lan"

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

// newRouter makes the site's router.
func newRouter(s *Site, b Behaviour) (*router, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	r := &router{ns: ns}
	inside := netip.PrefixFrom(s.gateway(), sitePrefix)
	var outside []netip.Prefix
	for _, addr := range poolFrom(s.external, Behaviour{Pool4: true}) {
		outside = append(outside, netip.PrefixFrom(addr, addr.BitLen()))
	}
	if bridge := s.lab.bridge; bridge != nil {
		if r.ports, err = ns.addBridge(lan, inside); err == nil {
			err = bridge.plug(ns, netip.Addr{}, outside...)
		}
	} else {
		if r.lan, err = ns.addTUN(lan, false, inside); err == nil {
			r.wan, err = ns.addTUN(uplink, true, outside...)
		}
	}
	if err == nil {
		err = ns.do(func() error {
			for _, link := range []string{lan, uplink} {
				if err := forwardFrom(link); err != nil {
					return err
				}
			}
			return nil
		})
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

func (r *router) close() {
	for _, tun := range []*os.File{r.lan, r.wan} {
		if tun != nil {
			tun.Close()
		}
	}
	r.ns.close()
	r.reading.Wait()
}
