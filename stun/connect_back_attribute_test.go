package stun

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	pion "github.com/pion/stun/v3"
)

// TestConnectBackWire pins the bytes of docs/stun-connect-back.md.
func TestConnectBackWire(t *testing.T) {
	for _, tt := range []struct {
		value connectBack
		want  string
	}{
		{connectBack{}, "\xf0\xcb\x00\x04\x00\x00\x00\x00"},
		{connectBack{from: fromOther}, "\xf0\xcb\x00\x04\x01\x00\x00\x00"},
		{connectBack{from: fromOwn, outcome: noAnswer}, "\xf0\xcb\x00\x04\x02\x04\x00\x00"},
		{connectBack{from: fromSilent, outcome: connected}, "\xf0\xcb\x00\x04\x03\x01\x00\x00"},
		{connectBack{port: 50000}, "\xf0\xcb\x00\x04\x00\x00\xc3\x50"},
	} {
		m := pion.MustBuild(pion.BindingRequest, tt.value)
		if got := string(m.Raw[headerSize:]); got != tt.want {
			t.Errorf("%+v is %x, want %x", tt.value, got, tt.want)
		}
		var got connectBack
		if err := got.GetFrom(m); err != nil || got != tt.value {
			t.Errorf("got %+v, %v, want %+v", got, err, tt.value)
		}
	}
}

func TestConnectBackOfAnotherLength(t *testing.T) {
	for n := range 10 {
		m := pion.MustBuild(pion.BindingRequest, raw(attrConnectBack, make([]byte, n)...))
		var b connectBack
		if err := b.GetFrom(m); (n == connectBackSize) != (err == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	var b connectBack
	if err := b.GetFrom(pion.MustBuild(pion.BindingRequest)); !errors.Is(err, pion.ErrAttributeNotFound) {
		t.Errorf("without one: %v", err)
	}
}

// TestDecodeOptional has answers whose optional attributes are as they should not be. The answers
// are good without them.
func TestDecodeOptional(t *testing.T) {
	mapped := xorAddr("192.0.2.1", 1)
	for name, tt := range map[string]struct {
		setter pion.Setter
		other  string
		back   bool
	}{
		"OTHER-ADDRESS":          {&pion.OtherAddress{IP: []byte{46, 0, 1, 2}, Port: 3479}, "46.0.1.2:3479", false},
		"OTHER-ADDRESS, IPv6":    {&pion.OtherAddress{IP: bytes.Repeat([]byte{0x20}, 16), Port: 1}, "[2020:2020:2020:2020:2020:2020:2020:2020]:1", false},
		"OTHER-ADDRESS, port 0":  {&pion.OtherAddress{IP: []byte{46, 0, 1, 2}}, "", false},
		"OTHER-ADDRESS, 0.0.0.0": {&pion.OtherAddress{IP: []byte{0, 0, 0, 0}, Port: 3479}, "", false},
		"OTHER-ADDRESS, group":   {&pion.OtherAddress{IP: []byte{224, 0, 0, 1}, Port: 3479}, "", false},
		"OTHER-ADDRESS, short":   {raw(pion.AttrOtherAddress, 0, 1, 2, 3, 4), "", false},
		"OTHER-ADDRESS, empty":   {raw(pion.AttrOtherAddress), "", false},
		"OTHER-ADDRESS, family":  {raw(pion.AttrOtherAddress, 0, 7, 1, 1, 1, 1, 1, 1), "", false},
		"CONNECT-BACK":           {connectBack{from: 200, outcome: 200}, "", true},
		"CONNECT-BACK, short":    {raw(attrConnectBack, 1), "", false},
	} {
		a, err := decodeResponse(pion.MustBuild(pion.BindingSuccess, mapped, tt.setter))
		if err != nil || a.mapped.String() != "192.0.2.1:1" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if got := a.other.String(); a.other.IsValid() != (tt.other != "") || tt.other != "" && got != tt.other {
			t.Errorf("%s: other address %s, want %q", name, got, tt.other)
		}
		if (a.back != nil) != tt.back {
			t.Errorf("%s: connect back %v", name, a.back)
		}
	}
}

// FuzzOptional looks for values of OTHER-ADDRESS and CONNECT-BACK that make a good answer bad, or
// are not the same when they are written again.
func FuzzOptional(f *testing.F) {
	f.Add([]byte{0, 1, 0x0d, 0x97, 46, 0, 1, 2}, []byte{1, 2, 0, 0})
	f.Add([]byte{0, 2, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, other, back []byte) {
		if len(other)+len(back) > maxMessage/2 {
			return // more than a message has room for
		}
		a, err := decodeResponse(pion.MustBuild(pion.BindingSuccess, xorAddr("192.0.2.1", 1),
			raw(pion.AttrOtherAddress, other...), raw(attrConnectBack, back...)))
		if err != nil {
			t.Fatal(err)
		}
		if o := a.other; o.IsValid() && useless(o) {
			t.Fatalf("useless other address %v", o)
		}
		if (a.back != nil) != (len(back) == connectBackSize) {
			t.Fatalf("CONNECT-BACK of %d bytes: %v", len(back), a.back)
		}
		if a.back != nil {
			m := pion.MustBuild(pion.BindingRequest, *a.back)
			if got, err := m.Get(attrConnectBack); err != nil || !bytes.Equal(got, back) {
				t.Fatalf("%x written as %x, %v", back, got, err)
			}
		}
	})
}

func TestServerConfigOther(t *testing.T) {
	pair := ServerConfig{Addresses: [2]netip.AddrPort{a1p1, a2p2}}
	sameIP := ServerConfig{Addresses: [2]netip.AddrPort{a1p1, a1p2}}
	half := ServerConfig{Addresses: [2]netip.AddrPort{a1p1}}
	for _, tt := range []struct {
		cfg         ServerConfig
		local, want netip.AddrPort
	}{
		{pair, a1p1, a2p2}, {pair, a1p2, a2p1}, {pair, a2p1, a1p2}, {pair, a2p2, a1p1},
		{pair, b1, netip.AddrPort{}},
		{sameIP, a1p1, netip.AddrPort{}}, {half, a1p1, netip.AddrPort{}}, {ServerConfig{}, a1p1, netip.AddrPort{}},
		{pair, netip.AddrPort{}, netip.AddrPort{}}, {ServerConfig{}, netip.AddrPort{}, netip.AddrPort{}},
	} {
		if got := tt.cfg.other(tt.local); got != tt.want {
			t.Errorf("%v of %v: got %v, want %v", tt.local, tt.cfg.Addresses, got, tt.want)
		}
	}
}
