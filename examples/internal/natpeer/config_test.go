package natpeer

import "testing"

func TestSTUNBeside(t *testing.T) {
	for relay, want := range map[string]string{
		"/ip4/192.0.2.1/tcp/4001":             "192.0.2.1:3478",
		"/ip6/2001:db8::1/tcp/4001":           "[2001:db8::1]:3478",
		"/dns4/relay.example.org/tcp/4001":    "relay.example.org:3478",
		"/dns/relay.example.org/tcp/443/wss":  "relay.example.org:3478",
		"/ip4/192.0.2.1/udp/4001/quic-v1":     "192.0.2.1:3478",
		"/dnsaddr/relay.example.org/tcp/4001": "",
	} {
		info, err := ParseRelay(relay + "/p2p/" + someID)
		if err != nil {
			t.Errorf("%s: %v", relay, err)
			continue
		}
		if got, err := STUNBeside(info); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", relay, got, err, want)
		}
	}
}

func TestParseRelayRefuses(t *testing.T) {
	for _, s := range []string{"", "192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001", "/p2p/" + someID} {
		if _, err := ParseRelay(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}
