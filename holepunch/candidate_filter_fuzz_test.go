package holepunch

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// FuzzAddr: what is taken for an address is the one that the bytes say.
func FuzzAddr(f *testing.F) {
	for _, s := range []string{
		"/ip4/46.0.1.1/tcp/40000", "/ip6/2a00::1/tcp/40000", "/ip6/::ffff:46.0.1.1/tcp/40000", "/ip4/46.0.1.1/udp/40000",
		"/ip6zone/eth0/ip6/fe80::1/tcp/40000", "/dns4/localhost/tcp/40000", "/ip4/46.0.1.1/tcp/4001/ws", "/ip4/46.0.1.1/tcp/0",
	} {
		f.Add(ma.StringCast(s).Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := addrFromBytes(b)
		if !ok {
			return
		}
		if !a.Addr().IsValid() || a.Addr().Zone() != "" {
			t.Fatalf("%v is no address", a)
		}
		m, err := ma.NewMultiaddrBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := addrToBytes(a); !bytes.Equal(got, m.Bytes()) {
			t.Errorf("%x, %s, is read as %s", b, m, a)
		}
	})
}

// nobodys are addresses that no peer has, whatever our own; insiders are those that only a peer of
// the same network has.
var (
	nobodys = prefixes("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
		"64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10", "4000::/2", "8000::/2")
	private4 = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "fc00::/7")
	ownHost  = prefixes("127.0.0.0/8", "::1/128")
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func within(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// drawn reads candidates, and the prefixes of links, from the bytes of a fuzzer. Most of them
// are near a border of what is allowed.
type drawn struct{ b []byte }

func (d *drawn) byte() (b byte) {
	if len(d.b) > 0 {
		b, d.b = d.b[0], d.b[1:]
	}
	return b
}

var corners = addrs(
	"46.0.1.1:0", "46.0.2.1:0", "0.0.0.0:0", "0.1.2.3:0", "10.0.0.1:0", "10.255.255.255:0", "11.0.0.0:0", "100.63.255.255:0",
	"100.64.0.1:0", "127.0.0.1:0", "169.254.1.1:0", "172.15.255.255:0", "172.16.0.1:0", "172.32.0.0:0", "192.168.1.7:0", "192.168.1.8:0",
	"192.168.2.8:0", "223.255.255.255:0", "224.0.0.1:0", "240.0.0.1:0", "255.255.255.255:0", "[::]:0", "[::1]:0", "[::2]:0",
	"[::ffff:46.0.1.1]:0", "[::ffff:127.0.0.1]:0", "[fc00::1]:0", "[fd00::7]:0", "[fd00::8]:0", "[fe80::1]:0", "[ff02::1]:0", "[2a00::1]:0",
)

func (d *drawn) addr() netip.Addr {
	switch kind := d.byte(); kind % 4 {
	case 0:
		return netip.AddrFrom4([4]byte{d.byte(), d.byte(), d.byte(), d.byte()})
	case 1:
		a := corners[int(kind/4)%len(corners)].Addr().As16()
		a[15] ^= d.byte() & 1
		return netip.AddrFrom16(a)
	default:
		return corners[int(kind/4)%len(corners)].Addr()
	}
}

func (d *drawn) candidates() (cs []punch.Candidate) {
	for range d.byte() % (punch.MaxCandidates + 2) {
		kind := d.byte()
		port := uint16(d.byte())<<8 | uint16(d.byte())
		cs = append(cs, punch.Candidate{Kind: punch.Kind(kind % 6), Addr: netip.AddrPortFrom(d.addr(), port), Port: int(kind>>6) % punch.MaxPorts})
	}
	return cs
}

func (d *drawn) links() (ls []netip.Prefix) {
	for range d.byte() % 4 {
		a := d.addr()
		ls = append(ls, netip.PrefixFrom(a, int(d.byte())%(a.BitLen()+1)))
	}
	return ls
}

// FuzzAdmissible: whatever our own addresses and whatever a peer names, only the peer's own
// addresses may be dialled. The test states the rules a second time, in another form.
func FuzzAdmissible(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x01\x9c\x40\x02\x02\x01\x9c\x40\x06\x04\x9c\x40\x3e\x01\x3a\x18")) // a neighbour, and its private address
	f.Add([]byte("\x01\x01\x9c\x40\x26\x03\x01\x9c\x40\x26\x01\x00\x16\x06\x03\x9c\x40\x12\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &drawn{b}
		own, peer, links := d.candidates(), d.candidates(), d.links()
		for i, c := range own { // ours we have from the kernel, and from observers
			own[i].Addr = netip.AddrPortFrom(c.Addr.Addr().Unmap(), c.Addr.Port())
		}
		had := slices.Clone(peer)
		got, err := admissible(own, peer, links)
		if !slices.Equal(peer, had) {
			t.Fatal("the peer's candidates were changed")
		}
		if (len(got) == 0) != (err != nil) || err != nil && (!errors.Is(err, ErrNoCandidate) || ReasonOf(err) == "") {
			t.Fatalf("%v admitted, and the error %v", got, err)
		}
		seen := func(ps []netip.Prefix) bool { // whether our observers see such an address
			return slices.ContainsFunc(own, func(c punch.Candidate) bool {
				return (c.Kind == punch.Reflexive || c.Kind == punch.Predicted) && within(ps, c.Addr.Addr())
			})
		}
		lan := 0
		for i, c := range got {
			a := c.Addr.Addr()
			bad := ""
			switch {
			case !slices.Contains(peer, c):
				bad = "not named"
			case slices.ContainsFunc(got[:i], func(o punch.Candidate) bool { return o.Addr == c.Addr }):
				bad = "twice"
			case c.Addr.Port() < 1024:
				bad = "a low port"
			case within(nobodys, a), a.Zone() != "":
				bad = "nobody's address"
			case c.Kind == punch.LAN:
				lan++
				switch {
				case lan > 2:
					bad = "a third private address"
				case !within(private4, a):
					bad = "no private address"
				case !slices.ContainsFunc(links, func(l netip.Prefix) bool { return l.Addr() != a && l.Masked().Contains(a) }):
					bad = "on no link of ours, or our own"
				case !sameSite(own, peer):
					bad = "of another site"
				}
			case slices.ContainsFunc(own, func(o punch.Candidate) bool { return o.Addr == c.Addr }):
				bad = "our own"
			case !within(private4, a) && !within(ownHost, a) && slices.ContainsFunc(links, func(l netip.Prefix) bool { return l.Addr() == a }):
				bad = "our own, at another port"
			case within(private4, a) && !seen(private4), within(ownHost, a) && !seen(ownHost):
				bad = "of a network that we are not in"
			}
			if bad != "" {
				t.Errorf("own %v, links %v: admitted %v, which is %s", own, links, c, bad)
			}
		}
	})
}
