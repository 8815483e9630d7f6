package holepunch

import (
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// TestWait: what holds for a NAT holds for the addresses that it translates.
func TestWait(t *testing.T) {
	at := func(kind pb.Candidate_Kind, addr string) Candidate {
		return Candidate{Kind: kind, Addr: netip.MustParseAddrPort(addr)}
	}
	v4, v6 := at(pb.Candidate_REFLEXIVE, "46.0.0.1:4000"), at(pb.Candidate_REFLEXIVE, "[2a00::1]:4000")
	passive, late := Punch{Passive: true}, Punch{Late: true}
	for name, tc := range map[string]struct {
		p    Punch
		port int
		to   Candidate
		want time.Duration
	}{
		"usual":                         {Punch{}, 0, v4, 0},
		"passive":                       {passive, 0, v4, passiveWait},
		"passive, to a foretold port":   {passive, 0, at(pb.Candidate_PREDICTED, "46.0.0.1:4000"), passiveWait},
		"passive, in IPv6":              {passive, 0, v6, 0},
		"passive, to a listener":        {passive, 0, at(pb.Candidate_LISTENER, "46.0.0.1:4001"), 0},
		"passive, within the site":      {passive, 0, at(pb.Candidate_LAN, "10.0.0.2:4000"), 0},
		"late":                          {late, 0, v4, lateWait},
		"late, from the second port":    {late, 1, v4, lateWaitSecond},
		"late, in IPv6":                 {late, 0, v6, 0},
		"late, from the second in IPv6": {late, 1, v6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &punch[*Conn]{Punch: tc.p}
			if got := p.wait(tc.port, tc.to); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
