package stun_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["egress"] = egressRole }

type egress struct {
	Fact stun.Fact
	Err  string
}

// egressRole finds out whether connections get out, by an endpoint that accepts them.
func egressRole(c *labtest.Child) error {
	var open netip.AddrPort
	if err := c.Config(&open); err != nil {
		return err
	}
	fact, err := stun.Discoverer{}.Egress(context.Background(), open)
	e := egress{Fact: fact}
	if err != nil {
		e.Err = err.Error()
	}
	return c.Emit(e)
}

// TestEgress: a refusal by the host's own network is distinguished from one by others. The round
// trip is long compared with what a busy machine takes to notice a refusal.
func TestEgress(t *testing.T) {
	t.Parallel()
	const far = 150 * time.Millisecond
	for name, tt := range map[string]struct {
		home, server string
		port         uint16 // of the server; 0 for one without a listener
		own          bool   // the host has a filter of its own
		want         stun.Fact
		err          string
	}{
		"open":                    {"eim-apdf", "public", 443, false, stun.Yes, ""},
		"server has ICMP":         {"eim-apdf", "eim-apdf-icmp", 443, false, stun.Yes, ""},
		"server drops":            {"eim-apdf", "eim-apdf", 443, false, stun.Unknown, "no answer from"},
		"no server":               {"eim-apdf", "public", 0, false, stun.Unknown, "connection refused"},
		"network drops":           {"eim-apdf-egressdrop", "public", 443, false, stun.Unknown, "no answer from"},
		"network resets":          {"eim-apdf-egressrst", "public", 443, false, stun.No, "away: connect: connection refused"},
		"network prohibits":       {"eim-apdf-egressicmp", "public", 4001, false, stun.No, "away: connect: no route to host"},
		"host prohibits":          {"public", "public", 4001, true, stun.No, "away: connect: no route to host"},
		"network and server deny": {"eim-apdf-egressrst", "eim-apdf-rst", 443, false, stun.No, "away: connect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := labtest.New(t, natlab.Config{Seed: 1})
			add := func(name, nat string, delay time.Duration) *natlab.Host {
				b, err := natlab.ParseBehaviour(nat)
				if err != nil {
					t.Fatal(err)
				}
				site, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: delay})
				if err != nil {
					t.Fatal(err)
				}
				host, err := site.AddHost(name)
				if err != nil {
					t.Fatal(err)
				}
				return host
			}
			server, home := add("server", tt.server, far), add("home", tt.home, 0)
			at := netip.AddrPortFrom(server.Addr(), 443)
			if tt.port > 0 {
				inside := netip.AddrPortFrom(server.Addr(), tt.port)
				at = inside
				if external := server.Site().External(); external.IsValid() {
					at = netip.AddrPortFrom(external, tt.port)
					if err := server.Site().Forward(tt.port, inside); err != nil {
						t.Fatal(err)
					}
				}
				err := server.Do(func() error {
					l, err := net.Listen("tcp", inside.String())
					if err == nil {
						t.Cleanup(func() { l.Close() })
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if tt.own {
				if err := home.FilterEgress(); err != nil {
					t.Fatal(err)
				}
			}
			var got egress
			labtest.Start(t, home, "egress", at).Next(t, &got)
			t.Logf("%v: %s", got.Fact, got.Err)
			if got.Fact != tt.want || (got.Err == "") != (tt.err == "") || !strings.Contains(got.Err, tt.err) {
				t.Errorf("want %v, %q", tt.want, tt.err)
			}
		})
	}
}
