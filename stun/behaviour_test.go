package stun

import (
	"encoding/json"
	"testing"
)

func TestBehaviourWords(t *testing.T) {
	for want, b := range map[string]Behaviour{
		"unknown, unknown":                         {},
		"EIM, APDF, preserved ports, rst, hairpin": {Mapping: EIM, Filtering: APDF, Ports: Preserved, Unsolicited: RST, BareSYN: Yes, Hairpin: Yes, Persistent: Yes},
		"APDM, ADF, sequential ports 2 apart, no bare SYN, mapping dies with its connection": {Mapping: APDM, Filtering: ADF, Ports: Sequential, Step: 2, BareSYN: No, Hairpin: No, Persistent: No},
		"ADM, EIF, random ports, icmp": {Mapping: ADM, Filtering: EIF, Ports: Random, Unsolicited: ICMP},
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
