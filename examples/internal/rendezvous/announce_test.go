package rendezvous

import (
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestParseAnnounce(t *testing.T) {
	both := []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/4001"), ma.StringCast("/ip6/::/tcp/4001")}
	more := append([]ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/443/ws")}, both...)
	for _, test := range []struct {
		announce string
		listen   []ma.Multiaddr
		want     string // or a part of the error
		ok       bool
	}{
		{"203.0.113.7", both, "/ip4/203.0.113.7/tcp/4001", true},
		{"2001:db8::1", both, "/ip6/2001:db8::1/tcp/4001", true},
		{"relay.example.org", both, "/dns/relay.example.org/tcp/4001", true},
		{"relay", more, "/dns/relay/tcp/443/ws /dns/relay/tcp/4001", true},
		{"/ip4/203.0.113.7/tcp/80", both, "/ip4/203.0.113.7/tcp/80", true},
		{"/dns4/relay.example.org/tcp/80", nil, "/dns4/relay.example.org/tcp/80", true},
		{"2001:db8::1", both[:1], "does not listen", false},
		{"203.0.113.7", []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/0")}, "at which port", false},
		{"", both, "no IP address", false},
		{"relay:4001", both, "no IP address", false},
		{"203.0.113.7:4001", both, "no IP address", false},
		{"/ip4/203.0.113.7", both, "no address to listen at", false},
		{"/ip4/203.0.113.7/tcp/1/p2p/12D3KooWNBgu298tLQiyYBJpGmbFWVTx1wj8m9GwceeeVUQpoqJQ", both, "without /p2p", false},
		{"/nonsense", both, "nonsense", false},
	} {
		got, err := ParseAnnounce(test.announce, test.listen)
		var texts []string
		for _, a := range got {
			texts = append(texts, a.String())
		}
		if text := strings.Join(texts, " "); (err == nil) != test.ok || test.ok && text != test.want ||
			!test.ok && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %s, %v, want %s", test.announce, text, err, test.want)
		}
	}
}
