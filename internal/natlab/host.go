package natlab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"time"
)

// mtu is the MTU of every link. A fragment does not pass a NAT.
const mtu = 1500

const (
	// sitePrefix and sitePrefix6 are how much of an address the hosts of one site have in common.
	sitePrefix  = 24
	sitePrefix6 = 64
	// maxHosts is how many IPv4 addresses that leaves for them. The one after is the router's.
	maxHosts = 253
)

// uplink is the name of the link by which a host or a router reaches all others.
const uplink = "uplink"

// A Host is a network namespace at a site.
type Host struct {
	name  string
	site  *Site
	addr  netip.Addr
	addr6 netip.Addr // invalid at a site without IPv6
	ns    *namespace
	tun   *os.File // nil on a bridge

	reading sync.WaitGroup
}

// AddHost adds a host to the site. Hosts of one site reach each other by their own addresses
// without the NAT.
func (s *Site) AddHost(name string) (*Host, error) {
	addr, err := s.nextAddr()
	if err != nil {
		return nil, fmt.Errorf("natlab: host %q: %w", name, err)
	}
	addrs := []netip.Prefix{netip.PrefixFrom(addr, sitePrefix)}
	addr6 := s.addr6(addr)
	if addr6.IsValid() {
		addrs = append(addrs, netip.PrefixFrom(addr6, sitePrefix6))
	}
	h, err := s.newHost(name, addrs...)
	if err != nil {
		return nil, about(fmt.Sprintf("host %q", name), err)
	}
	h.addr, h.addr6 = addr, addr6

	s.lab.mu.Lock()
	closed := s.lab.closed
	if !closed {
		s.attach(addr, h)
		if addr6.IsValid() {
			s.attach(addr6, h)
		}
		s.lab.hosts = append(s.lab.hosts, h)
	}
	watched := s.watched && s.public()
	s.lab.mu.Unlock()
	if closed {
		h.close()
		return nil, errClosed
	}
	if watched {
		s.watchUplink(h.ns)
	}
	return h, nil
}

// newHost makes a host with these addresses that is joined to its site.
func (s *Site) newHost(name string, addrs ...netip.Prefix) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{name: name, site: s, ns: ns}
	switch {
	case s.lab.bridge == nil:
		h.tun, err = ns.addTUN(uplink, true, addrs...)
	case s.public():
		err = s.lab.bridge.plug(ns, h.gateway(), addrs...)
	default:
		err = s.router.ports.plug(ns, h.gateway(), addrs...)
	}
	if b := s.NAT(); err == nil && b.firewall() {
		err = ns.setRules(b, netip.Addr{})
	}
	if err != nil {
		h.close()
		return nil, err
	}
	if h.tun != nil {
		h.reading.Go(func() { readPackets(h.tun, s.fromHost) })
	}
	return h, nil
}

// Name returns the name given to AddHost.
func (h *Host) Name() string { return h.name }

// Site returns the host's site.
func (h *Host) Site() *Site { return h.site }

// Addr returns the IPv4 address of the host's only interface, private unless the site is public.
func (h *Host) Addr() netip.Addr { return h.addr }

// Addr6 returns the host's global IPv6 address. It is not valid at a site without IPv6.
func (h *Host) Addr6() netip.Addr { return h.addr6 }

// AddAddr adds an IPv4 address, the next of its site, to the host. By default sockets still send
// from the first one.
func (h *Host) AddAddr() (netip.Addr, error) {
	addr, err := h.site.nextAddr()
	if err == nil {
		err = h.ns.do(func() error { return addAddr(uplink, netip.PrefixFrom(addr, sitePrefix)) })
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("natlab: one more address for host %q: %w", h.name, err)
	}
	h.site.lab.mu.Lock()
	defer h.site.lab.mu.Unlock()
	h.site.attach(addr, h)
	return addr, nil
}

// Move replaces the host's first IPv4 address by the next of its site, as a router or another
// network does. Connections from the old address hang. Move must not be called concurrently with
// Addr.
func (h *Host) Move() error {
	addr, err := h.site.nextAddr()
	if err == nil {
		err = h.ns.do(func() error {
			return replaceAddr(h.gateway(), netip.PrefixFrom(h.addr, sitePrefix), netip.PrefixFrom(addr, sitePrefix))
		})
	}
	if err != nil {
		return fmt.Errorf("natlab: move host %q: %w", h.name, err)
	}
	h.site.lab.mu.Lock()
	defer h.site.lab.mu.Unlock()
	h.site.attach(addr, h)
	h.addr = addr
	return nil
}

// RotateAddr6 gives the host another IPv6 address, the next of its site, from which sockets send
// from now on if they are not bound. The address before is deprecated, and still valid (RFC 4862,
// section 5.5.4), as happens to temporary addresses every day (RFC 8981). It is for sites with
// IPv6. RotateAddr6 must not be called concurrently with Addr6.
func (h *Host) RotateAddr6() error {
	addr, err := h.site.nextAddr()
	if err == nil {
		before := h.addr6
		h.addr6 = h.site.addr6(addr)
		h.site.lab.mu.Lock()
		h.site.attach(h.addr6, h)
		h.site.lab.mu.Unlock()
		err = h.ns.do(func() error {
			return rotateAddr(netip.PrefixFrom(before, sitePrefix6), netip.PrefixFrom(h.addr6, sitePrefix6))
		})
	}
	if err != nil {
		return fmt.Errorf("natlab: another IPv6 address for host %q: %w", h.name, err)
	}
	return nil
}

// Do calls f on an OS thread inside the host. A socket that f makes belongs to the host, and stays
// with it. Goroutines that f starts are outside; a program that makes sockets by itself needs
// [Host.Start]. Calls of Do may overlap. A listener needs Do for itself, but not for Accept.
func (h *Host) Do(f func() error) error {
	return h.ns.do(f)
}

// Start starts a child process inside the host. The child is killed when the lab is closed, or the
// lab's process ends in any way. The caller waits for the child.
func (h *Host) Start(cmd *exec.Cmd) error {
	return h.ns.start(cmd)
}

// gateway returns the router by which the host reaches others. It is not valid if the host has a
// link of its own to them.
func (h *Host) gateway() netip.Addr {
	if h.tun != nil || h.site.public() {
		return netip.Addr{}
	}
	return h.site.gateway()
}

// Hold suspends a child process for d, as on a busy machine. Its sockets belong to the kernel, and
// continue. Hold returns when the process continues.
func Hold(p *os.Process, d time.Duration) error {
	if err := stop(p); err != nil {
		return fmt.Errorf("natlab: hold process %d: %w", p.Pid, err)
	}
	time.Sleep(d)
	if err := resume(p); err != nil {
		return fmt.Errorf("natlab: hold process %d: %w", p.Pid, err)
	}
	return nil
}

// readPackets passes on what is sent through a TUN device, until that is closed.
func readPackets(tun *os.File, to func(pkt []byte)) {
	buf := make([]byte, mtu)
	for {
		n, err := tun.Read(buf)
		if err != nil {
			return
		}
		to(buf[:n])
	}
}

func (h *Host) close() {
	if h.tun != nil {
		h.tun.Close()
	}
	h.ns.close()
	h.reading.Wait()
}
