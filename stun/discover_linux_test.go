package stun_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["serve"] = serveRole
	roles["discover"] = discoverRole
}

// serveRole is a server at both addresses and both ports.
func serveRole(c *labtest.Child) error {
	var at [2]netip.AddrPort
	if err := c.Config(&at); err != nil {
		return err
	}
	s := stun.NewServer(&stun.ServerConfig{Addresses: at})
	endpoints := []netip.AddrPort{
		at[0], netip.AddrPortFrom(at[0].Addr(), at[1].Port()),
		netip.AddrPortFrom(at[1].Addr(), at[0].Port()), at[1],
	}
	if at[0] == at[1] {
		endpoints = endpoints[:1]
	}
	for _, e := range endpoints {
		l, err := net.Listen("tcp", e.String())
		if err != nil {
			return err
		}
		go func() { _ = s.Serve(l) }()
		pc, err := net.ListenPacket("udp", e.String())
		if err != nil {
			return err
		}
		go func() { _ = s.ServePacket(pc) }()
	}
	if err := c.Emit("serving"); err != nil {
		return err
	}
	_ = c.Receive(new(bool)) // until the end
	return s.Close()
}

type discovered struct {
	Behaviour string
	Mapping   stun.Mapping
	Filtering stun.Filtering
	Ports     stun.Ports
	BareSYN   stun.Fact
	NAT       string
	Addrs     []netip.Addr
	IPv6, UDP bool
	Errs      []string
	Err       string
	Took      time.Duration
}

// words is all of a Behaviour.
func words(b stun.Behaviour) string {
	type plain stun.Behaviour
	return fmt.Sprintf("%+v", plain(b))
}

func discoverRole(c *labtest.Child) error {
	var servers []string
	if err := c.Config(&servers); err != nil {
		return err
	}
	// Longer than by default, for a slow machine.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	r, err := stun.Discover(ctx, servers)
	d := discovered{Took: time.Since(begun)}
	if r != nil {
		d.Mapping, d.Filtering, d.Ports, d.BareSYN = r.Mapping, r.Filtering, r.Ports, r.BareSYN
		d.Behaviour, d.NAT, d.Addrs, d.IPv6, d.UDP = words(r.Behaviour), r.NAT.String(), r.Addrs, r.IPv6, r.UDP
		for _, s := range r.Servers {
			if s.Err != nil {
				d.Errs = append(d.Errs, s.Err.Error())
			}
		}
	}
	if err != nil {
		d.Err = err.Error()
	}
	return c.Emit(d)
}

// discoverLab is a server in public and a host behind a NAT.
type discoverLab struct {
	lab    *natlab.Lab
	ipv6   bool
	home   *natlab.Site
	host   *natlab.Host
	server [2]netip.AddrPort
}

func newDiscoverLab(t *testing.T, nat string) *discoverLab {
	t.Helper()
	l, server := newHome(t, nat)
	other, err := server.AddAddr()
	if err != nil {
		t.Fatal(err)
	}
	l.server = [2]netip.AddrPort{
		netip.AddrPortFrom(server.Addr(), 3478),
		netip.AddrPortFrom(other, 3479),
	}
	labtest.Start(t, server, "serve", l.server).Next(t, new(string))
	return l
}

// newHome is a lab without a server, but a host for it. With "6 " before the words of the NAT there
// is IPv6 besides, behind a firewall.
func newHome(t *testing.T, nat string) (l *discoverLab, server *natlab.Host) {
	t.Helper()
	l = &discoverLab{lab: labtest.New(t, natlab.Config{Seed: 1})}
	nat, l.ipv6 = strings.CutPrefix(nat, "6 ")
	_, server = l.add(t, "server", "public")
	l.home, l.host = l.add(t, "home", nat)
	return l, server
}

func (l *discoverLab) add(t *testing.T, name, nat string) (*natlab.Site, *natlab.Host) {
	t.Helper()
	b, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	site := labtest.AddSite(t, l.lab, natlab.SiteConfig{Name: name, NAT: b, Delay: 5 * time.Millisecond, IPv6: l.ipv6})
	host, err := site.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return site, host
}

func (l *discoverLab) discover(t *testing.T, servers ...string) discovered {
	t.Helper()
	p := labtest.Start(t, l.host, "discover", servers)
	var d discovered
	p.Next(t, &d)
	t.Logf("after %v: %+v", d.Took.Round(time.Millisecond), d)
	return d
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	for nat, want := range map[string]stun.Behaviour{
		"public":                           {Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"eim-eif":                          {Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"eim-adf-rst-hairpin":              {Mapping: stun.EIM, Filtering: stun.ADF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"eim-apdf":                         {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"eim-apdf-icmp-hairpin":            {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.ICMP, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"eim-apdf-rst-sequential2-hairpin": {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 2, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"eim-apdf-rst-random-rstkills":     {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Random, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.No},
		"eim-apdf-nosyn":                   {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.No, Hairpin: stun.No, Persistent: stun.Yes},
		"eim-apdf-rst-nosyn":               {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.No, Hairpin: stun.No, Persistent: stun.Yes},
		"adm-eif-random":                   {Mapping: stun.ADM, Filtering: stun.EIF, Ports: stun.Random, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"adm-adf-icmp":                     {Mapping: stun.ADM, Filtering: stun.ADF, Ports: stun.Preserved, Unsolicited: stun.ICMP, BareSYN: stun.Yes, Persistent: stun.Yes},
		"adm-apdf-sequential":              {Mapping: stun.ADM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1, Unsolicited: stun.Drop, BareSYN: stun.Yes, Persistent: stun.Yes},
		"apdm-eif-hairpin":                 {Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"apdm-adf-sequential":              {Mapping: stun.APDM, Filtering: stun.ADF, Ports: stun.Sequential, Step: 1, Unsolicited: stun.Drop, BareSYN: stun.Yes, Persistent: stun.Yes},
		"apdm-apdf-rst-sequential":         {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1, Unsolicited: stun.RST, Persistent: stun.Yes},
		"apdm-apdf-icmp-random-noudp":      {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random, Unsolicited: stun.ICMP, Persistent: stun.Yes},
		"eim-apdf-rst-synlimit":            {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"adm-apdf-descending":              {Mapping: stun.ADM, Filtering: stun.APDF, Ports: stun.Sequential, Step: -1, Unsolicited: stun.Drop, BareSYN: stun.Yes, Persistent: stun.Yes},
		"apdm-apdf-descending2":            {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: -2, Unsolicited: stun.Drop, Persistent: stun.Yes},
		"apdm-apdf-overload-blocks16":      {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Block, Unsolicited: stun.Drop, Persistent: stun.Yes},
		// What Linux does looks like EIM, as long as no two hosts use one port.
		"apdm-apdf-rst-overload": {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		// And what it does.
		"kernel-drop-invalid":          {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"kernel-rst":                   {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes},
		"kernel-accept-random":         {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random, Unsolicited: stun.RST, Persistent: stun.No},
		"kernel-accept-nosyn":          {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.No, Hairpin: stun.No, Persistent: stun.Yes},
		"kernel-drop-firewall":         {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"kernel-rst-firewall":          {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"kernel-accept-nosyn-firewall": {Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, BareSYN: stun.No, Hairpin: stun.Yes, Persistent: stun.Yes},
		"kernel-nosyn-firewall":        {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.No, Hairpin: stun.Yes, Persistent: stun.Yes},
	} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			l := newDiscoverLab(t, nat)
			d := l.discover(t, l.server[0].String())
			if d.Behaviour != words(want) {
				t.Errorf("got  %s\nwant %s", d.Behaviour, words(want))
			}
			hidden, behind := l.home.External(), "yes"
			if !hidden.IsValid() {
				hidden, behind = l.host.Addr(), "no"
			}
			if !slices.Equal(d.Addrs, []netip.Addr{hidden}) || d.NAT != behind || d.IPv6 {
				t.Errorf("addresses %v, NAT %s, IPv6 %v", d.Addrs, d.NAT, d.IPv6)
			}
			if want := nat != "apdm-apdf-icmp-random-noudp"; d.UDP != want {
				t.Errorf("UDP %v, want %v", d.UDP, want)
			}
			if d.Err != "" || d.Errs != nil {
				t.Errorf("errors %q, %q", d.Err, d.Errs)
			}
		})
	}
}

// TestDiscoverPool: a NAT gives each mapping another one of its addresses.
func TestDiscoverPool(t *testing.T) {
	t.Parallel()
	for nat, want := range map[string]stun.Behaviour{
		"eim-adf-random-pool4":   {Mapping: stun.EIM, Filtering: stun.ADF, Ports: stun.Random},
		"apdm-apdf-random-pool4": {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random},
		"apdm-apdf-pool4":        {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved},
		// One in 22 looks like ADM: ports are the same, and so are some addresses by chance.
		"kernel-snat4": {Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved},
	} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			l := newDiscoverLab(t, nat)
			p := labtest.Start(t, l.host, "discover", []string{l.server[0].String()})
			var d discovered
			p.Next(t, &d)
			if nat == "kernel-snat4" && d.Mapping == stun.ADM {
				want.Mapping = stun.ADM
			}
			if d.Mapping != want.Mapping || d.BareSYN == stun.No || d.Filtering != want.Filtering || d.Ports != want.Ports {
				t.Errorf("got %s, want %v", d.Behaviour, want)
			}
			first := l.home.External()
			pool := []netip.Addr{first, first.Next(), first.Next().Next(), first.Next().Next().Next()}
			others := slices.DeleteFunc(slices.Clone(d.Addrs), func(a netip.Addr) bool { return slices.Contains(pool, a) })
			if len(d.Addrs) < 2 || len(others) > 0 || d.Err != "" {
				t.Errorf("addresses %v of %v, %q", d.Addrs, pool, d.Err)
			}
		})
	}
}

// TestDiscoverPoolByChance: the connections of the first port have the same address at all servers.
// Only those of further ports show whether a port always has the same one.
func TestDiscoverPoolByChance(t *testing.T) {
	t.Parallel()
	var ports sync.Map // the numbers of their addresses
	for name, tt := range map[string]struct {
		number func(server, n int, port uint16) int // of the address of the n-th connection, from 0
		want   stun.Mapping
	}{
		"each port": {func(_, n int, port uint16) int {
			first, _ := ports.LoadOrStore(port, n)
			return first.(int)
		}, stun.EIM},
		"each connection": {func(server, n int, _ uint16) int { return n * (1 + server) }, stun.APDM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var servers []string
			for i, ip := range []string{"127.0.0.1", "127.0.0.2"} {
				servers = append(servers, servePlainOn(t, ip, func(n int, remote netip.AddrPort) netip.AddrPort {
					number := tt.number(i, n, remote.Port()) % 4
					return netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 2, byte(1 + number)}), remote.Port())
				}))
			}
			r, err := stun.Discover(t.Context(), servers)
			if err != nil {
				t.Fatal(err)
			}
			if r.Mapping != tt.want || r.Ports != stun.Preserved || len(r.Addrs) < 2 {
				t.Errorf("got %v and addresses %v, want %v", r.Behaviour, r.Addrs, tt.want)
			}
		})
	}
}

// TestDiscoverFirewall asks over IPv6, where there is a firewall without a NAT.
func TestDiscoverFirewall(t *testing.T) {
	t.Parallel()
	for firewall, want := range map[string]stun.Behaviour{
		"6 eim-apdf-rst":   {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.RST, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"6 eim-apdf-icmp":  {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.ICMP, BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes},
		"6 eim-apdf-nosyn": {Mapping: stun.EIM, Filtering: stun.APDF, Ports: stun.Preserved, Unsolicited: stun.Drop, BareSYN: stun.No, Hairpin: stun.Yes, Persistent: stun.Yes},
	} {
		t.Run(firewall, func(t *testing.T) {
			t.Parallel()
			l, server := newHome(t, firewall)
			at := netip.AddrPortFrom(server.Addr6(), 3478) // one address
			labtest.Start(t, server, "serve", [2]netip.AddrPort{at, at}).Next(t, new(string))
			d := l.discover(t, at.String())
			if d.Behaviour != words(want) {
				t.Errorf("got  %s\nwant %s", d.Behaviour, words(want))
			}
			if !slices.Equal(d.Addrs, []netip.Addr{l.host.Addr6()}) || d.NAT != "no" || !d.IPv6 || !d.UDP || d.Err != "" {
				t.Errorf("%+v", d)
			}
		})
	}
}
