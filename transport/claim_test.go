package transport

import (
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestAddressClaim: a peer that names another peer's addresses as its own, as often as it may, does
// not hinder that peer, in either role of the host, and with any observers.
func TestAddressClaim(t *testing.T) {
	for name, initiates := range map[string]bool{"initiator": true, "responder": false} {
		for observers, opts := range map[string][]Option{
			"STUN server":  {WithSTUNServers(stuntest.New(t))},
			"relays alone": nil,
		} {
			t.Run(name+"/"+observers, func(t *testing.T) {
				t.Parallel()
				opts := append(opts, WithOnRequestOnly())
				relay := newRelay(t)
				h, v, mallory := newPeer(t, Enable(opts...)), newPeer(t, Enable(opts...)), newPeer(t)
				connectRelayed(t, relay, h, mallory)
				connectRelayed(t, relay, v, mallory)
				dialler, listener := h, v
				if !initiates {
					dialler, listener = v, h
				}
				dialRelayed(t, relay, listener, dialler)
				// The victim itself names its address.
				var named []*pb.Candidate
				_, answer := sendRaw(t, mallory, v.ID(), newOffer(newCandidate(pb.Candidate_REFLEXIVE, "127.0.0.1:1024")))
				for _, c := range answer.Candidates {
					if c.Kind == pb.Candidate_REFLEXIVE {
						named = append(named, c)
					}
				}
				if len(named) == 0 {
					t.Fatalf("answered %v, want candidates", answer)
				}
				for range 16 {
					if _, answer := sendRaw(t, mallory, h.ID(), newOffer(named...)); answer.Status != pb.Status_OK {
						t.Fatalf("answered %v", answer)
					}
				}
				begin := time.Now()
				c, err := DirectConnect(testContext(t), dialler, listener.ID())
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took > 5*time.Second { // mallory's attempts last 10 s
					t.Errorf("it took %v", took)
				}
				if err := pingOver(testContext(t), c); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
