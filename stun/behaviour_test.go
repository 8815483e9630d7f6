package stun

import (
	"encoding/json"
	"net/netip"
	"testing"
)

func TestBehaviourWords(t *testing.T) {
	for want, b := range map[string]Behaviour{
		"unknown, unknown":                         {},
		"EIM, APDF, preserved ports, rst, hairpin": {Mapping: EIM, Filtering: APDF, Ports: Preserved, Unsolicited: RST, BareSYN: Yes, Hairpin: Yes, Persistent: Yes},
		"APDM, ADF, sequential ports 2 apart, no bare SYN, mapping dies with its connection": {Mapping: APDM, Filtering: ADF, Ports: Sequential, Step: 2, BareSYN: No, Hairpin: No, Persistent: No},
		"APDM, APDF, ports within a block of 16, lets out few ports":                         {Mapping: APDM, Filtering: APDF, Ports: Block, Egress: No},
		"ADM, EIF, random ports, icmp":                                                       {Mapping: ADM, Filtering: EIF, Ports: Random, Unsolicited: ICMP},
	} {
		if got := b.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var back Behaviour
		if err := json.Unmarshal(text, &back); err != nil || back != b {
			t.Errorf("%s is read as %+v, %v, want %+v", text, back, err, b)
		}
	}
	var b Behaviour
	if err := json.Unmarshal([]byte(`{"Mapping":"NAT"}`), &b); err == nil {
		t.Error("an unknown word is read")
	}
}

// What a server may say of us, and where it may send us, by its own address.
func TestCheckServer(t *testing.T) {
	for _, tc := range []struct {
		server, mapped string
		ok             bool
	}{
		{"46.0.1.1", "46.0.2.1", true},
		{"46.0.1.1", "10.0.0.1", false},
		{"46.0.1.1", "127.0.0.1", false},
		{"10.0.0.1", "10.0.0.2", true},
		{"10.0.0.1", "127.0.0.1", false},
		{"127.0.0.1", "127.0.0.1", true},
		{"46.0.1.1", "2a00::1", false},
	} {
		if err := CheckMapped(netip.MustParseAddr(tc.server), netip.MustParseAddr(tc.mapped)); (err == nil) != tc.ok {
			t.Errorf("%s sees %s: %v", tc.server, tc.mapped, err)
		}
	}
	for _, tc := range []struct {
		server, other string
		ok            bool
	}{
		{"46.0.1.1:3478", "46.0.1.2:3479", true},
		{"46.0.1.1:3478", "46.0.1.1:3479", false},
		{"46.0.1.1:3478", "10.0.0.1:3479", false},
		{"46.0.1.1:3478", "46.0.1.2:22", false},
		{"10.0.0.1:3478", "10.0.0.2:3479", true},
		{"10.0.0.1:3478", "127.0.0.1:6379", false},
		{"127.0.0.1:3478", "127.0.0.2:3479", true},
	} {
		if got := admissibleOther(netip.MustParseAddrPort(tc.server), netip.MustParseAddrPort(tc.other)); got != tc.ok {
			t.Errorf("%s sends us to %s: %v", tc.server, tc.other, got)
		}
	}
}
