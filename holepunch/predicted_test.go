package holepunch

import (
	"net/netip"
	"slices"
	"testing"
)

func TestForetell(t *testing.T) {
	for name, tc := range map[string]struct {
		last string
		step int
		want []string
	}{
		"one apart":    {"46.0.1.1:40000", 1, []string{"46.0.1.1:40001", "46.0.1.1:40002", "46.0.1.1:40003", "46.0.1.1:40004", "46.0.1.1:40005"}},
		"two apart":    {"46.0.1.1:40000", 2, []string{"46.0.1.1:40002", "46.0.1.1:40004", "46.0.1.1:40006", "46.0.1.1:40008", "46.0.1.1:40010"}},
		"down":         {"46.0.1.1:40000", -1, []string{"46.0.1.1:39999", "46.0.1.1:39998", "46.0.1.1:39997", "46.0.1.1:39996", "46.0.1.1:39995"}},
		"over the end": {"46.0.1.1:65534", 1, []string{"46.0.1.1:65535", "46.0.1.1:1024", "46.0.1.1:1025", "46.0.1.1:1026", "46.0.1.1:1027"}},
		"under it":     {"46.0.1.1:1025", -2, []string{"46.0.1.1:65535", "46.0.1.1:65533", "46.0.1.1:65531", "46.0.1.1:65529", "46.0.1.1:65527"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := addrsOf(Foretell(netip.MustParseAddrPort(tc.last), tc.step)); !slices.Equal(got, addrs(tc.want...)) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
