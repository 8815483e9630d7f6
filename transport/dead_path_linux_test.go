package transport

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

func init() {
	commands["pour"] = (*labHost).pour
	commands["lost"] = (*labHost).lost
}

// A moment is when something was so, by the clock that the lab's processes share.
type moment struct {
	Err string
	At  time.Time
}

// pour sends the peer as much as the direct connection takes, until it ends. It returns when that
// is under way.
func (h *labHost) pour(ctx context.Context, cmd command) any {
	s, err := directConn(h, cmd.Peer).NewStream(ctx)
	if err == nil {
		err = msmux.SelectProtoOrFail[protocol.ID](transferProtocol, s)
	}
	if err != nil {
		return failed(err)
	}
	data := make([]byte, 1<<20)
	if _, err := s.Write(data); err != nil {
		return failed(err)
	}
	go func() {
		for {
			if _, err := s.Write(data); err != nil {
				return
			}
		}
	}()
	return outcome{}
}

// lost waits until the direct connections that are there now have ended.
func (h *labHost) lost(ctx context.Context, cmd command) any {
	var left []network.Conn
	ended := make(chan network.Conn, 10)
	n := &network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { ended <- c }}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	for _, c := range h.Network().ConnsToPeer(cmd.Peer) {
		if !c.IsClosed() && !isRelayed(c) {
			left = append(left, c)
		}
	}
	for len(left) > 0 {
		select {
		case c := <-ended:
			left = slices.DeleteFunc(left, func(l network.Conn) bool { return l == c })
		case <-ctx.Done():
			return moment{Err: "it stays"}
		}
	}
	return moment{At: time.Now()}
}

// When the path between two peers dies, each notices within 10 s, whether there is data on the way
// or not, and both are back on the relayed connection.
func TestDeadPath(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		name := "idle"
		if busy {
			name = "busy"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			home, office := l.site(t, "home", "eim-apdf"), l.site(t, "office", "eim-apdf")
			a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
			if d, _ := punch(t, a, b); !d.Direct {
				t.Fatal(d)
			}
			if busy {
				var o outcome
				if a.do(t, &o, command{Do: "pour", Peer: b.id}); o.Err != "" {
					t.Fatal(o.Err)
				}
			}
			cut := time.Now()
			l.cutPath(home, office)
			a.proc.Send(t, command{Do: "lost", Peer: b.id})
			b.proc.Send(t, command{Do: "lost", Peer: a.id})
			for _, p := range []*labPeer{a, b} {
				var m moment
				p.proc.Next(t, &m)
				took := m.At.Sub(cut)
				t.Logf("%s notices after %v", p.host.Name(), took)
				if m.Err != "" || took > 10*time.Second {
					t.Errorf("%s has a dead connection: %s, for %v", p.host.Name(), m.Err, took)
				}
			}
			a.ping(t, b.id, "relayed")
			b.ping(t, a.id, "relayed")
		})
	}
}

// cutPath has everything lost between two sites, and nothing between them and others.
func (l *hostLab) cutPath(a, b *natlab.Site) {
	const forEver = time.Hour
	l.SetExtraDelay(a, b, forEver)
	l.SetExtraDelay(b, a, forEver)
}
