package stun

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCheckMapped(t *testing.T) {
	for _, tt := range []struct {
		server, mapped string
		want           error
	}{
		{"46.0.1.1", "46.0.2.1", nil},
		{"46.0.1.1", "46.0.1.1", nil},
		{"46.0.1.1", "10.0.0.1", ErrPrivateMapped},
		{"46.0.1.1", "192.168.1.1", ErrPrivateMapped},
		{"46.0.1.1", "100.64.0.1", ErrPrivateMapped},
		{"46.0.1.1", "127.0.0.1", ErrPrivateMapped},
		{"46.0.1.1", "169.254.0.1", ErrPrivateMapped},
		{"46.0.1.1", "224.0.0.1", ErrPrivateMapped},
		{"46.0.1.1", "2001:db8::1", ErrFamily},
		{"2001:db8::1", "46.0.1.1", ErrFamily},
		{"2001:db8::1", "2001:db8::2", nil},
		{"2001:db8::1", "fd00::1", ErrPrivateMapped},
		{"2001:db8::1", "fe80::1", ErrPrivateMapped},
		{"64:ff9b::2e00:101", "46.0.2.1", nil}, // NAT64
		{"10.0.0.1", "10.0.0.2", nil},
		{"10.0.0.1", "46.0.2.1", nil}, // hairpin, or a far branch of a company
		{"127.0.0.1", "127.0.0.1", nil},
		{"100.64.0.1", "100.64.0.2", nil},
		{"fd00::1", "fd00::2", nil},
	} {
		got := CheckMapped(netip.MustParseAddr(tt.server), netip.MustParseAddr(tt.mapped))
		if !errors.Is(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s from %s: got %v, want %v", tt.mapped, tt.server, got, tt.want)
		}
	}
}

// answers make contacts of what servers 0, 1 and so on say.
func answers(mapped ...string) ([]ServerReport, []*contact) {
	var reports []ServerReport
	var contacts []*contact
	for i, m := range mapped {
		server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 100, byte(i)}), 3478)
		reports = append(reports, ServerReport{Server: server.String()})
		contacts = append(contacts, &contact{server: i, addr: server, response: response{mapped: netip.MustParseAddrPort(m)}})
	}
	return reports, contacts
}

func TestFilterContacts(t *testing.T) {
	for name, tt := range map[string]struct {
		mapped []string
		kept   int
		bad    map[int]error
	}{
		"all agree":              {[]string{"46.0.2.1:7", "46.0.2.1:7", "46.0.2.1:7"}, 3, nil},
		"other ports":            {[]string{"46.0.2.1:7", "46.0.2.1:8", "46.0.2.1:9"}, 3, nil},
		"one":                    {[]string{"46.0.2.1:7"}, 1, nil},
		"two disagree":           {[]string{"46.0.2.1:7", "46.0.2.2:7"}, 2, map[int]error{0: ErrDissent, 1: ErrDissent}},
		"one liar among three":   {[]string{"46.0.2.1:7", "46.0.7.7:7", "46.0.2.1:7"}, 2, map[int]error{1: ErrDissent}},
		"a private address":      {[]string{"46.0.2.1:7", "10.0.0.1:7"}, 1, map[int]error{1: ErrPrivateMapped}},
		"the other family":       {[]string{"[2a00::1]:7", "46.0.2.1:7"}, 1, map[int]error{0: ErrFamily}},
		"liars of several kinds": {[]string{"[2a00::1]:7", "46.0.2.1:7", "10.0.0.1:7", "46.0.2.1:8", "46.0.7.7:1"}, 2, map[int]error{0: ErrFamily, 2: ErrPrivateMapped, 4: ErrDissent}},
		"nobody":                 {nil, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			reports, contacts := answers(tt.mapped...)
			if kept, agreed := filterContacts(reports, contacts); len(kept) != tt.kept || agreed != (name != "two disagree") {
				t.Errorf("%d kept, want %d; agreed: %v", len(kept), tt.kept, agreed)
			}
			for i, r := range reports {
				if want := tt.bad[i]; !errors.Is(r.Err, want) || (r.Err == nil) != (want == nil) {
					t.Errorf("server %d: error %v, want %v", i, r.Err, want)
				}
			}
		})
	}
}

// A server that is asked at several endpoints, and reports several addresses, is no contradiction.
func TestFilterContactsOfOneServer(t *testing.T) {
	reports, contacts := answers("46.0.2.1:7", "46.0.2.2:7", "46.0.2.1:7")
	for _, c := range contacts {
		c.server = 0
	}
	if kept, agreed := filterContacts(reports, contacts); len(kept) != 3 || agreed || reports[0].Err != nil {
		t.Errorf("%d kept, agreed: %v, error %v", len(kept), agreed, reports[0].Err)
	}
}
