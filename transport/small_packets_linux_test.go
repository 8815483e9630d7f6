package transport

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

func init() {
	commands["transfer"] = (*labHost).transfer
	commands["carried"] = (*labHost).carried
}

const transferProtocol = "/simopen-test/transfer"

// transferSize is far more than what the kernel and the muxer take without an acknowledgement.
const transferSize = 2 << 20

// takeTransfers answers with the hash of what comes.
func (h *labHost) takeTransfers() {
	h.SetStreamHandler(transferProtocol, func(s network.Stream) {
		sum := sha256.New()
		if _, err := io.Copy(sum, s); err != nil {
			s.Reset()
			return
		}
		s.Write(sum.Sum(nil))
		s.Close()
	})
}

// transfer sends the peer 2 MiB, over whatever connection the swarm takes.
func (h *labHost) transfer(ctx context.Context, cmd command) any {
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, "test"), cmd.Peer, transferProtocol)
	if err != nil {
		return failed(err)
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	data := make([]byte, transferSize)
	if _, err := s.Write(data); err != nil {
		return failed(err)
	}
	s.CloseWrite()
	got, err := io.ReadAll(s)
	if want := sha256.Sum256(data); err == nil && !slices.Equal(got, want[:]) {
		err = errors.New("the data differs")
	}
	o := failed(err)
	o.Direct, o.Remote = !isRelayed(s.Conn()), s.Conn().RemoteMultiaddr().String()
	return o
}

// carried waits until a direct connection to a peer has carried full-size segments.
func (h *labHost) carried(ctx context.Context, cmd command) any {
	t := find(h)
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) { // there is no event
		c, carried := directConn(h, cmd.Peer), false
		t.peers.with(cmd.Peer, func(s *peerState) {
			carried = c != nil && s.direct[c] != nil && s.direct[c].carried
		})
		if carried {
			return moment{At: time.Now()}
		}
	}
	return moment{Err: ctx.Err().Error()}
}

// A narrowPath is a path between two peers that loses long packets.
type narrowPath struct {
	there, back int // the longest packets that pass; the lab's links carry 1500 bytes
	security    string
	direct      bool // a direct connection is to stay
}

// TestSmallPacketsOnly: a path that loses full-size packets, in one direction or in both, gets a
// connection with small segments. The relayed one stays until that has proved itself, and carries
// what it cannot.
func TestSmallPacketsOnly(t *testing.T) {
	t.Parallel()
	for _, p := range []narrowPath{
		{1499, 1499, "TLS alone", true},
		{1499, 1499, "Noise alone", true},
		{576, 1500, "TLS alone", true}, // not even the handshake's last flight gets through at first
		{576, 576, "TLS alone", true},
		{500, 1500, "Noise alone", false},
	} {
		t.Run(fmt.Sprintf("%d there, %d back, %s", p.there, p.back, p.security), func(t *testing.T) {
			t.Parallel()
			testSmallPackets(t, p)
		})
	}
}

// TestSmallPacketsThere and TestSmallPacketsBack are cases of the same. They take the longest of
// the package, 20 s: two connections have to be found dead. As tests of their own they begin early.
func TestSmallPacketsThere(t *testing.T) {
	t.Parallel()
	testSmallPackets(t, narrowPath{576, 1500, "Noise alone", true})
}

func TestSmallPacketsBack(t *testing.T) {
	t.Parallel()
	testSmallPackets(t, narrowPath{1500, 576, "Noise alone", true})
}

func testSmallPackets(t *testing.T, path narrowPath) {
	t.Helper()
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-apdf"), l.site(t, "office", "eim-apdf")
	l.SetMTU(home, office, path.there)
	l.SetMTU(office, home, path.back)
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"),
		peerConfig{Grace: time.Millisecond, Options: []string{path.security}})
	if d, _ := punch(t, a, b); !d.Direct {
		t.Fatal(d)
	}
	both := func(answer func(*labPeer), what string) {
		a.proc.Send(t, command{Do: what, Peer: b.id})
		b.proc.Send(t, command{Do: what, Peer: a.id})
		answer(a)
		answer(b)
	}
	if path.security == "TLS alone" && path.there == 576 {
		if !slices.ContainsFunc(b.steps(t), func(s step) bool { return s.Reason == holepunch.ErrSmallPackets }) {
			t.Error("bob had no attempt that ended for small packets")
		}
	}
	until := map[bool]string{true: "carried", false: "lost"}[path.direct]
	up := time.Now()
	both(func(p *labPeer) {
		var m moment
		if p.proc.Next(t, &m); m.Err != "" {
			t.Fatalf("%s, %s: %s", p.host.Name(), until, m.Err)
		}
		t.Logf("%s, %s: after %v", p.host.Name(), until, m.At.Sub(up))
	}, until)
	both(func(p *labPeer) {
		var o outcome
		if p.proc.Next(t, &o); o.Err != "" || o.Direct != path.direct {
			t.Errorf("%s: 2 MiB: %+v", p.host.Name(), o)
		}
	}, "transfer")
}
