package holepunch

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// TestOwnAddressAtAnotherPort: what listens on the host itself, at an address of its own in public, is behind its
// firewall, and not for a peer to have connected to.
func TestOwnAddressAtAnotherPort(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("46.0.1.1/24"), netip.MustParsePrefix("2a00::1/64")}
	own := Reflexive(addrs("46.0.1.1:40000", "[2a00::1]:40000")...)
	for _, kind := range []pb.Candidate_Kind{pb.Candidate_REFLEXIVE, pb.Candidate_PREDICTED, pb.Candidate_LISTENER} {
		got, err := Admissible(own, candidates(kind, "46.0.2.1:40001", "46.0.1.1:8080", "[2a00::1]:8080"), links)
		if err != nil || !slices.Equal(addrsOf(got), addrs("46.0.2.1:40001")) {
			t.Errorf("%s: got %v, %v, want the peer's alone", kind, got, err)
		}
	}
}
