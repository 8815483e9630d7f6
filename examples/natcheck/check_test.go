package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestNothingLearned(t *testing.T) {
	for want, addrs := range map[string][]netip.Addr{
		"no server could be asked": nil,
		"in your own network":      {netip.MustParseAddr("192.168.1.7")},
		"":                         {netip.MustParseAddr("46.0.2.1"), netip.MustParseAddr("10.0.0.1")},
	} {
		c := &check{Report: &stun.Report{Addrs: addrs, NAT: stun.No}}
		got := c.nothing()
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%v: got %q, want %q", addrs, got, want)
		}
		if r := newResult(c); r.Reason != got || (len(r.Peers) > 0) != (want == "") {
			t.Errorf("%v: reason %q, peers %v", addrs, r.Reason, r.Peers)
		}
	}
}

func TestUnknownUDP(t *testing.T) {
	b, err := json.Marshal(failure(errInterrupted))
	if err != nil || !strings.Contains(string(b), `"udp":null`) || !strings.Contains(string(b), `"reason":"interrupted"`) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestUnconfirmedEgress(t *testing.T) {
	c := &check{
		Report:      &stun.Report{Addrs: []netip.Addr{netip.MustParseAddr("46.0.2.1")}, NAT: stun.Yes},
		unconfirmed: &problem{"a", "connections seem to get out to some ports only"},
	}
	var b bytes.Buffer
	tell(console.New(&b), c)
	for _, want := range []string{"egress unknown", "problem a: connections seem to", "Name a second server"} {
		if !strings.Contains(flat(b.String()), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if r := newResult(c); len(r.Problems) != 1 || r.Egress != stun.Unknown {
		t.Errorf("problems %v, egress %v", r.Problems, r.Egress)
	}
}
