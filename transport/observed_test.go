package transport

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
)

// What an identify says and what it comes to.
func TestReadObserved(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"/ip4/46.0.2.1/tcp/40000":        "46.0.2.1:40000",
		"/ip6/2a00::1/tcp/40000":         "[2a00::1]:40000",
		"/ip6/::ffff:46.0.2.1/tcp/40000": "46.0.2.1:40000",
		// As js-libp2p has it.
		"/ip4/46.0.2.1/tcp/40000/p2p/12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m": "46.0.2.1:40000",
		"/ip4/46.0.2.1/tcp/40000/ws":   "",
		"/ip4/46.0.2.1/tcp/40000/http": "",
	} {
		var b bytes.Buffer
		w := pbio.NewDelimitedWriter(&b)
		w.WriteMsg(&idpb.Identify{Protocols: []string{identify.ID}})
		w.WriteMsg(&idpb.Identify{ObservedAddr: ma.StringCast(addr).Bytes()})
		got, err := readObserved(&b)
		if want == "" && !errors.Is(err, errNoObserved) || want != "" && got.String() != want {
			t.Errorf("%s: %v, %v, want %q", addr, got, err, want)
		}
	}
}

func FuzzObserved(f *testing.F) {
	for _, m := range []*idpb.Identify{
		{ObservedAddr: ma.StringCast("/ip4/46.0.2.1/tcp/40000").Bytes()},
		{ObservedAddr: ma.StringCast("/ip6/2a00::1/tcp/40000").Bytes(), Protocols: []string{proto.ProtoIDv2Hop}},
		{ObservedAddr: ma.StringCast("/ip6/::ffff:46.0.2.1/tcp/40000").Bytes()},
		{ObservedAddr: ma.StringCast("/dns4/example.org/tcp/443/wss").Bytes()},
		{ObservedAddr: ma.StringCast("/ip4/46.0.2.1/tcp/40000/p2p/12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m").Bytes()},
		{ObservedAddr: []byte{}},
		{Protocols: []string{identify.ID}},
	} {
		var b bytes.Buffer
		pbio.NewDelimitedWriter(&b).WriteMsg(m)
		f.Add(b.Bytes())
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readObserved(bytes.NewReader(b))
		if (err == nil) != a.IsValid() || a.Addr().Is4In6() {
			t.Errorf("%v, %v", a, err)
		}
	})
}

// A peer that has connected to us claims to be a relay, and names another host's port: that port is
// not asked.
func TestStrangerIsNoObserver(t *testing.T) {
	t.Parallel()
	victim := newHost(t, Enable())
	stranger := newHost(t, libp2p.NoListenAddrs)
	if err := stranger.Connect(testContext(t), info(victim)); err != nil {
		t.Fatal(err)
	}
	named := ma.StringCast("/ip4/127.0.0.1/tcp/6379")
	victim.Peerstore().AddAddr(stranger.ID(), named, time.Hour)
	victim.Peerstore().AddProtocols(stranger.ID(), proto.ProtoIDv2Hop)
	if got := find(victim).observers(0); len(got) > 0 {
		t.Errorf("%v would be asked", got)
	}
}

// TestPunchedIsNoObserver: a peer to which a connection was punched listens elsewhere, whichever of
// the host's ports the connection is from.
func TestPunchedIsNoObserver(t *testing.T) {
	t.Parallel()
	relay, a, b := newRelay(t), newPeer(t, Enable()), newPeer(t, Enable())
	connectRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	b.Peerstore().AddProtocols(a.ID(), proto.ProtoIDv2Hop)
	for _, o := range find(b).observers(0) {
		if o.(observer).id == a.ID() {
			t.Errorf("%v would be asked", o)
		}
	}
}
