package transport

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { commands["fail"] = (*labHost).fail }

// A failure is the outcome of a dial, and what its error matches.
type failure struct {
	outcome
	Punch     bool // a PunchError
	Handshake bool // ErrHandshake
}

// fail is dial for what is to fail.
func (h *labHost) fail(ctx context.Context, cmd command) any {
	err := h.dialRelayed(ctx, cmd)
	if err == nil {
		_, err = DirectConnect(context.Background(), h, cmd.Peer)
	}
	var punch *holepunch.PunchError
	return failure{h.outcome(cmd.Peer, err), errors.As(err, &punch), errors.Is(err, holepunch.ErrHandshake)}
}

// silenceTimeout is for an attempt whose connects, which have two thirds of it, go on for more than
// the 5 s after which the other end of a connection is silent.
const silenceTimeout = 9 * time.Second

// mostSYNs bounds the SYNs from one peer to the other in an attempt, two thirds of which are for
// the connects. There are four pairs of ports. A connect that brings up a useless connection is
// repeated at once, and then after 0.1 s, 0.2 s and so on up to 2 s: six times in 2.7 s, and seven
// times in 6 s. The SYN of a connect without an answer is sent once a second.
func mostSYNs(timeout time.Duration) int { return 4 * (int(timeout.Seconds()*2/3) + 5) }

// proxyAdvice has, by kind of proxy, what the error on its side says.
var proxyAdvice = map[string]string{
	"proxysilent": "other end is silent: a proxy or a firewall accepts connections in the peer's place and says nothing",
	"proxyclose":  "closed without a word: EOF: a proxy or a firewall accepts connections in the peer's place and closes them",
	"proxynoise":  `"HTTP/1.1 400 Bad Request\r\nConne": does not open with a token: something else answers in the peer's place`,
}

// TestProxy: a transparent proxy answers the connects of one peer in place of the other peer. The
// attempt fails with a reason and after few SYNs, and says what kind of proxy it is. The relayed
// connection remains usable, and nothing of what the host may have is used up: without the proxy
// the peers connect at once.
func TestProxy(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	type side struct {
		*labPeer
		site *natlab.Site
		syns *labtest.SYNs
	}
	start := func(name, nat string, timeout time.Duration) side {
		site := l.site(t, name, nat)
		return side{l.startPeer(t, addHost(t, site, name), peerConfig{Timeout: timeout}), site, labtest.CountSYNs(site)}
	}
	for proxy := range proxyAdvice {
		for _, initiates := range []bool{true, false} {
			name := proxy + " before the responder"
			if initiates {
				name = proxy + " before the initiator"
			}
			timeout := briefTimeout
			if proxy == "proxysilent" {
				timeout = silenceTimeout
			}
			inside := start(name+", inside", "eim-apdf-"+proxy, timeout)
			outside := start(name+", outside", "eim-apdf", timeout)
			d, r := outside, inside
			if initiates {
				d, r = inside, outside
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ready(t, d.labPeer, r.labPeer)
				r.reserve(t)
				d.join(t)
				var got failure
				d.do(t, &got, command{Do: "fail", Peer: r.id})
				other := r.look(t, d.labPeer, false)
				t.Logf("the initiator has %v; the responder has %v", got.outcome, other)
				if got.Direct || other.Direct || !got.Punch {
					t.Errorf("want no connection, and a PunchError: %+v", got)
				}
				reason, says := got.Reason, got.Err
				if !initiates {
					reason, says = other.Reason, other.Err
				}
				if !strings.Contains(says, proxyAdvice[proxy]) {
					t.Errorf("the side with the proxy says %q, want %q", says, proxyAdvice[proxy])
				}
				if reason != holepunch.ErrHandshake || got.Handshake != (got.Reason == holepunch.ErrHandshake) {
					t.Errorf("the side with the proxy gives the reason %q, want %q; at the initiator: %+v", reason, holepunch.ErrHandshake, got)
				}
				for _, s := range [][2]side{{d, r}, {r, d}} {
					n := s[0].syns.Sum(func(a netip.AddrPort) bool { return a.Addr() == s[1].site.External() })
					t.Logf("%s sent %d SYNs to its peer", s[0].host.Name(), n)
					if most := mostSYNs(timeout); n == 0 || n > most {
						t.Errorf("want some, and %d at most", most)
					}
				}
				d.ping(t, r.id, "relayed")
				r.ping(t, d.id, "relayed")
				if t.Failed() {
					logSteps(t, d.labPeer, r.labPeer)
				}
				d.leave(t)
				r.leave(t)
				if err := inside.site.SetNAT(outside.site.NAT()); err != nil {
					t.Fatal(err)
				}
				wantDirect(t, d.labPeer, r.labPeer)
			})
		}
	}
}
