package ipaddr

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIsHost(t *testing.T) {
	for ip, want := range map[string]bool{
		"46.0.0.1": true, "10.0.0.1": true, "127.0.0.1": true, "2001:db8::1": true, "fe80::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "::": false, "224.0.0.1": false, "ff02::1": false, "240.0.0.1": false, "255.255.255.255": false,
		"2a00::1": true, "fd00::1": true, "::1": true, "::ffff:46.0.0.1": true,
		"64:ff9b::10.0.0.1": false, "64:ff9b:1::10.0.0.1": false, "2002:a00:1::1": false, "2001:0:a00:1::1": false, "::10.0.0.1": false,
		"100::1": false, "fec0::1": false, "5f00::1": false, "4000::1": false,
	} {
		if got := IsHost(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
	if IsHost(netip.Addr{}) {
		t.Error("an invalid address is a host's")
	}
}

func TestIsPrivate(t *testing.T) {
	for ip, want := range map[string]bool{
		"10.0.0.1": true, "172.16.0.1": true, "192.168.0.1": true, "fd00::1": true,
		"100.64.0.1": true, "192.0.0.2": true, "198.18.0.1": true, "198.19.255.255": true,
		"46.0.0.1": false, "100.128.0.1": false, "198.20.0.1": false, "2a00::1": false, "127.0.0.1": false, "169.254.0.1": false,
	} {
		if got := IsPrivate(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
}

func TestIsPublic(t *testing.T) {
	for ip, want := range map[string]bool{
		"46.0.0.1": true, "2a00::1": true, "10.0.0.1": false, "100.64.0.1": false, "fd00::1": false,
		"127.0.0.1": false, "169.254.0.1": false, "fe80::1": false, "0.0.0.0": false, "224.0.0.1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for ip, want := range map[string][2]string{
		"192.0.2.1":                 {"192.0.2.1/32", "192.0.2.0/24"},
		"2001:db8:1:2:3:4:5:6":      {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"fe80::1%eth0":              {"fe80::/64", "fe80::/48"},
		"2001:db8:1:2:ffff:ffff::1": {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"2001:db8:ffff::%ether":     {"2001:db8:ffff::/64", "2001:db8:ffff::/48"},
	} {
		a := netip.MustParseAddr(ip)
		if got := [2]string{Customer(a).String(), Network(a).String()}; got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
}
