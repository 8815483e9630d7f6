package transport

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

func init() {
	commands["back"] = (*labHost).back
	commands["dial relayed"] = func(h *labHost, ctx context.Context, cmd command) any {
		return failed(h.dialRelayed(ctx, cmd))
	}
}

// A comeback is what there is of a peer that has come back through the relay. Times are from its
// relayed connection.
type comeback struct {
	Err    string
	Direct time.Duration // until DirectConnect returned a connection on which the peer answers
	Clean  time.Duration // until no other direct connection was left
}

// back waits for another relayed connection to a peer, asks for the direct one, and waits for the
// end of those from before.
func (h *labHost) back(ctx context.Context, cmd command) any {
	changed := make(chan struct{}, 1)
	note := func(network.Network, network.Conn) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	n := &network.NotifyBundle{ConnectedF: note, DisconnectedF: note}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	relayed := relayedConn(h, cmd.Peer)
	for ; relayed == nil || relayed.Stat().Opened.Before(cmd.Since); relayed = relayedConn(h, cmd.Peer) {
		select {
		case <-changed:
		case <-ctx.Done():
			return comeback{Err: "no relayed connection"}
		}
	}
	c, err := DirectConnect(ctx, h, cmd.Peer)
	if err == nil {
		err = pingOver(ctx, c)
	}
	if err != nil {
		return comeback{Err: err.Error()}
	}
	b := comeback{Direct: time.Since(relayed.Stat().Opened)}
	for countDirect(h, cmd.Peer) > 1 {
		select {
		case <-changed:
		case <-ctx.Done():
			return comeback{Err: "a dead connection is left"}
		}
	}
	b.Clean = time.Since(relayed.Stat().Opened)
	return b
}

func countDirect(h *labHost, p peer.ID) (n int) {
	for _, c := range h.Network().ConnsToPeer(p) {
		if !c.IsClosed() && !isRelayed(c) {
			n++
		}
	}
	return n
}

// A peer that comes back through the relay, while its direct connection from before seems to be
// there at the other end, becomes direct within 2 s at both ends, whichever asks for it.
func TestPeerReturns(t *testing.T) {
	t.Parallel()
	// No packet about the end of a connection gets out.
	restart := func(meanwhile func(testing.TB, *natlab.Host)) func(testing.TB, *hostLab, *labPeer) *labPeer {
		return func(t testing.TB, l *hostLab, p *labPeer) *labPeer {
			p.host.Site().SetDown(true)
			p.proc.Kill()
			meanwhile(t, p.host)
			p.host.Site().SetDown(false)
			p = l.startPeer(t, p.host, p.cfg)
			ready(t, p)
			return p
		}
	}
	move := func(t testing.TB, h *natlab.Host) {
		if err := h.Move(); err != nil {
			t.Fatal(err)
		}
	}
	for name, leave := range map[string]func(testing.TB, *hostLab, *labPeer) *labPeer{
		"restarted":                    restart(func(testing.TB, *natlab.Host) {}),
		"restarted behind another NAT": restart(func(_ testing.TB, h *natlab.Host) { h.Site().ResetNAT() }),
		"restarted elsewhere":          restart(move),
		"moved": func(t testing.TB, l *hostLab, p *labPeer) *labPeer {
			move(t, p.host)
			var m moment
			if p.do(t, &m, command{Do: "lost", Peer: l.relay.ID}); m.Err != "" {
				t.Fatal(m.Err)
			}
			return p
		},
	} {
		for asks, onRequest := range map[string]bool{"both ask": false, "the other asks": true} {
			t.Run(name+", "+asks, func(t *testing.T) {
				t.Parallel()
				l := newHostLab(t, relayConfig{})
				a := l.startPeer(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), peerConfig{OnRequest: onRequest})
				b := l.startPeer(t, addHost(t, l.site(t, "office", "eim-apdf"), "bob"), peerConfig{OnRequest: onRequest, Key: newKey(t)})
				ready(t, a, b)
				if d, _ := punch(t, b, a); !d.Direct {
					t.Fatal(d)
				}
				var o outcome
				if a.do(t, &o, command{Do: "pour", Peer: b.id}); o.Err != "" {
					t.Fatal(o.Err)
				}
				left := time.Now()
				b = leave(t, l, b)
				b.join(t)
				if b.do(t, &o, command{Do: "dial relayed", Peer: a.id}); o.Err != "" {
					t.Fatal(o.Err)
				}
				a.proc.Send(t, command{Do: "back", Peer: b.id, Since: left})
				back := map[string]*labPeer{"alice": a}
				if !onRequest {
					b.proc.Send(t, command{Do: "back", Peer: a.id, Since: left})
					back["bob"] = b
				}
				for name, p := range back {
					var c comeback
					p.proc.Next(t, &c)
					t.Logf("%s has a direct connection after %v, and no other after %v", name, c.Direct, c.Clean)
					if c.Err != "" || max(c.Direct, c.Clean) > 2*time.Second {
						t.Errorf("%s: %+v", name, c)
					}
				}
			})
		}
	}
}

func newKey(t testing.TB) []byte {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
