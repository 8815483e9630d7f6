package holepunch

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

func addrs(ss ...string) []netip.AddrPort {
	as := make([]netip.AddrPort, len(ss))
	for i, s := range ss {
		as[i] = netip.MustParseAddrPort(s)
	}
	return as
}

func TestAdmissible(t *testing.T) {
	own := []string{"46.0.1.1:40000"}
	for name, tc := range map[string]struct {
		own, peer, want []string
		reason          string
	}{
		"public":                      {own, []string{"46.0.2.1:40001", "[2a00::1]:40001"}, []string{"46.0.2.1:40001", "[2a00::1]:40001"}, ""},
		"none":                        {own, nil, nil, "no candidate"},
		"twice":                       {own, []string{"46.0.2.1:40001", "46.0.2.1:40001"}, []string{"46.0.2.1:40001"}, ""},
		"low ports":                   {own, []string{"46.0.2.1:22", "46.0.2.1:80", "46.0.2.1:443", "46.0.2.1:1023", "46.0.2.1:0"}, nil, "port below 1024"},
		"lowest port":                 {own, []string{"46.0.2.1:1024"}, []string{"46.0.2.1:1024"}, ""},
		"ourselves":                   {own, own, nil, "our own"},
		"private":                     {own, []string{"10.0.0.1:4001", "192.168.1.1:4001", "172.16.0.1:4001", "[fd00::1]:4001", "100.64.0.1:4001"}, nil, "private"},
		"private, claims our network": {own, []string{"46.0.1.1:40001", "192.168.1.1:4001"}, []string{"46.0.1.1:40001"}, ""},
		"private among private":       {[]string{"10.0.0.2:40000"}, []string{"10.1.0.3:40001", "127.0.0.1:4001"}, []string{"10.1.0.3:40001"}, ""},
		"loopback":                    {own, []string{"127.0.0.1:4001", "[::1]:4001"}, nil, "loopback"},
		"loopback, same network":      {own, []string{"46.0.1.1:40001", "127.0.0.1:4001"}, []string{"46.0.1.1:40001"}, ""},
		"loopback among loopback":     {[]string{"127.0.0.1:40000"}, []string{"127.0.0.1:4001"}, []string{"127.0.0.1:4001"}, ""},
		"link-local":                  {own, []string{"169.254.1.1:4001", "[fe80::1]:4001"}, nil, "not an address of a host"},
		"embedded IPv4":               {own, []string{"[64:ff9b::a00:1]:4001", "[64:ff9b:1::a00:1]:4001", "[2002:a00:1::1]:4001", "[::a00:1]:4001"}, nil, "not an address of a host"},
		"benchmarks, DS-Lite":         {own, []string{"198.18.0.1:4001", "198.19.255.1:4001", "192.0.0.2:4001"}, nil, "private"},
		"multicast":                   {own, []string{"224.0.0.1:4001", "[ff02::1]:4001"}, nil, "not an address of a host"},
		"broadcast, reserved, nobody": {own, []string{"255.255.255.255:4001", "240.0.0.1:4001", "0.0.0.0:4001", "0.1.2.3:4001", "[::]:4001"}, nil, "not an address of a host"},
		"one good among bad":          {own, []string{"46.0.2.1:22", "46.0.2.1:40001", "10.0.0.1:4001"}, []string{"46.0.2.1:40001"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := admissible(reflexive(addrs(tc.own...)...), reflexive(addrs(tc.peer...)...), nil)
			if !slices.Equal(addrsOf(got), addrs(tc.want...)) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if len(tc.want) > 0 && err != nil {
				t.Error(err)
			}
			if len(tc.want) == 0 && (!errors.Is(err, ErrNoCandidate) || !strings.Contains(err.Error(), tc.reason)) {
				t.Errorf("error %v, want ErrNoCandidate with %q", err, tc.reason)
			}
		})
	}
}

// A peer with predicted ports names no other address of its own.
func TestAdmissibleBesidePredictedPorts(t *testing.T) {
	own := []punch.Candidate{{Kind: punch.Predicted, Addr: addrs("100.64.0.2:40000")[0]}}
	if _, err := admissible(own, reflexive(addrs("100.64.0.3:40001")...), nil); err != nil {
		t.Error(err)
	}
}

// TestNamesAreNotResolved: a candidate that is a name is none. Looking it up would have the peer
// choose whom the host asks, and wait for the answer while a message is read.
func TestNamesAreNotResolved(t *testing.T) {
	for _, s := range []string{"/dns/localhost/tcp/40000", "/dns4/localhost/tcp/40000", "/dns6/localhost/tcp/40000", "/dnsaddr/localhost/tcp/40000"} {
		if a, ok := addrFromBytes(ma.StringCast(s).Bytes()); ok {
			t.Errorf("%s is taken for %s", s, a)
		}
	}
}
