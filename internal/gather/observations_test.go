package gather

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestView(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers   []string // the observer's address and what it reports, in turns
		reflexive []string
		mapping   stun.Mapping
		dissent   bool
	}{
		"nobody":                 {nil, nil, stun.MappingUnknown, false},
		"one":                    {[]string{"46.0.1.1:1", "46.0.2.1:1"}, []string{"46.0.2.1:1"}, stun.MappingUnknown, false},
		"two agree":              {[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.2:1", "46.0.2.1:1"}, []string{"46.0.2.1:1"}, stun.EIM, false},
		"two ports of one agree": {[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.1:2", "46.0.2.1:1"}, []string{"46.0.2.1:1"}, stun.MappingUnknown, false},
		"two ports":              {[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.2:1", "46.0.2.1:2"}, []string{"46.0.2.1:1", "46.0.2.1:2"}, stun.APDM, false},
		"two of three ports": {
			[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.2:1", "46.0.2.1:1", "46.0.1.3:1", "46.0.2.1:2"},
			[]string{"46.0.2.1:1", "46.0.2.1:2"}, stun.APDM, false,
		},
		"two ports of one, and another": {
			[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.1:2", "46.0.2.1:1", "46.0.1.2:1", "46.0.2.1:2"},
			[]string{"46.0.2.1:1", "46.0.2.1:2"}, stun.ADM, false,
		},
		"two addresses": {[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.2:1", "46.0.9.9:1"}, []string{"46.0.2.1:1", "46.0.9.9:1"}, stun.MappingUnknown, true},
		"a liar of three": {
			[]string{"46.0.1.1:1", "46.0.2.1:1", "46.0.1.2:1", "46.0.9.9:1", "46.0.1.3:1", "46.0.2.1:1"},
			[]string{"46.0.2.1:1"}, stun.EIM, true,
		},
		"private beside public":    {[]string{"10.0.0.1:1", "10.0.0.2:1", "46.0.1.2:1", "46.0.2.1:1"}, []string{"46.0.2.1:1"}, stun.MappingUnknown, false},
		"private alone":            {[]string{"10.0.0.1:1", "10.0.0.2:1"}, []string{"10.0.0.2:1"}, stun.MappingUnknown, false},
		"private, public in IPv6":  {[]string{"10.0.0.1:1", "10.0.0.2:1", "[2a00::1]:1", "[2a00::9]:1"}, []string{"10.0.0.2:1", "[2a00::9]:1"}, stun.MappingUnknown, false},
		"carrier's beside public":  {[]string{"100.64.0.1:1", "100.64.0.2:1", "46.0.1.2:1", "46.0.2.1:1"}, []string{"46.0.2.1:1"}, stun.MappingUnknown, false},
		"loopback beside loopback": {[]string{"127.0.0.1:1", "127.0.0.1:5", "127.0.0.1:2", "127.0.0.1:6"}, []string{"127.0.0.1:5", "127.0.0.1:6"}, stun.APDM, false},
		"IPv4 counts, if there is any": {
			[]string{"[2a00::1]:1", "[2a00::9]:1", "[2a00::2]:1", "[2a00::9]:1", "46.0.1.1:1", "46.0.2.1:1"},
			[]string{"46.0.2.1:1", "[2a00::9]:1"}, stun.MappingUnknown, false,
		},
		"IPv6 alone": {[]string{"[2a00::1]:1", "[2a00::9]:1", "[2a00::2]:1", "[2a00::9]:1"}, []string{"[2a00::9]:1"}, stun.EIM, false},
	} {
		t.Run(name, func(t *testing.T) {
			var answers []answer
			for p := range slices.Chunk(tc.answers, 2) {
				answers = append(answers, answer{observer: p[0], remote: netip.MustParseAddrPort(p[0]), reflexive: netip.MustParseAddrPort(p[1])})
			}
			v, dissent := newView(answers)
			if want := addrPorts(tc.reflexive...); !slices.Equal(v.reflexive, want) || v.mapping != tc.mapping || (dissent != nil) != tc.dissent {
				t.Errorf("got %v, %v, %v; want %v, %v and dissent %v", v.reflexive, v.mapping, dissent, want, tc.mapping, tc.dissent)
			}
		})
	}
}
