package transport

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// TestAgreedSecurity: the initiator's part of an upgrade takes one round trip, with a stock
// Upgrader at the other end.
func TestAgreedSecurity(t *testing.T) {
	psk := pnet.PSK(make([]byte, 32))
	for name, tc := range map[string]upgradeTest{
		"Noise":                 {nil, []string{noise.ID}, []string{noise.ID}, noise.ID},
		"TLS":                   {nil, []string{libp2ptls.ID}, []string{libp2ptls.ID}, libp2ptls.ID},
		"our first":             {nil, []string{libp2ptls.ID, noise.ID}, []string{noise.ID, libp2ptls.ID}, libp2ptls.ID},
		"the only one of both":  {nil, []string{libp2ptls.ID, noise.ID}, []string{noise.ID}, noise.ID},
		"in a private network":  {psk, []string{noise.ID}, []string{noise.ID}, noise.ID},
		"none that both have":   {nil, []string{libp2ptls.ID}, []string{noise.ID}, ""},
		"none that theirs name": {nil, []string{libp2ptls.ID}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, tc.run) })
	}
}

type upgradeTest struct {
	psk          pnet.PSK
	ours, theirs []string // security protocols
	want         string   // the one agreed on, or none
}

func (tc upgradeTest) run(t *testing.T) {
	_, ours := upgradeSide(t, tc.ours, tc.psk)
	p, theirs := upgradeSide(t, tc.theirs, tc.psk)
	agreed := ours.agreed(theirs.security())
	switch {
	case agreed == nil && tc.want == "":
		return
	case agreed == nil || string(agreed.ID()) != tc.want:
		t.Fatalf("agreed on %v, want %q", agreed, tc.want)
	}
	a, b := farApart()
	defer a.Close()
	defer b.Close()
	served := serveUpgrade(t, theirs, b)
	begin := time.Now()
	c, err := ours.upgradeAs(t.Context(), agreed, a, p, &network.NullScope{}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if took := time.Since(begin); took != roundTrip {
		t.Errorf("took %v, want %v", took, roundTrip)
	}
	want := network.ConnectionState{StreamMultiplexer: yamux.ID, Security: agreed.ID(), Transport: "tcp", UsedEarlyMuxerNegotiation: true}
	if got := c.ConnState(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s := <-served; s != nil {
		wantHello(t, c, s)
		s.Close()
	}
}

// serveUpgrade is the responder's end of an upgrade. What comes of it is there when the channel is closed.
func serveUpgrade(t *testing.T, theirs *Transport, b manet.Conn) <-chan tpt.CapableConn {
	served := make(chan tpt.CapableConn, 1)
	go func() {
		defer close(served)
		c, err := theirs.upgrader.Upgrade(context.Background(), nil, b, network.DirInbound, "", &network.NullScope{})
		if err != nil {
			t.Error(err)
			return
		}
		served <- c
	}()
	return served
}

// TestAgreedSecurityWithdrawn: a peer that does not negotiate what it said is no peer.
func TestAgreedSecurityWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ours := upgradeSide(t, []string{noise.ID}, nil)
		p, theirs := upgradeSide(t, []string{libp2ptls.ID}, nil)
		a, b := farApart()
		defer a.Close()
		var served sync.WaitGroup
		served.Go(func() {
			theirs.upgrader.Upgrade(context.Background(), nil, b, network.DirInbound, "", &network.NullScope{})
		})
		defer served.Wait()
		if c, err := ours.upgradeAs(t.Context(), ours.parts.Security[0], a, p, &network.NullScope{}, func() error { return nil }); err == nil {
			c.Close()
			t.Error("upgraded")
		}
	})
}

// upgradeSide is a host as far as upgrades need it.
func upgradeSide(t *testing.T, ids []string, psk pnet.PSK) (peer.ID, *Transport) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parts := hostParts{Muxers: defaultParts.Muxers, PSK: psk}
	for _, id := range ids {
		var s sec.SecureTransport
		if id == noise.ID {
			s, err = noise.New(noise.ID, key, parts.Muxers)
		} else {
			s, err = libp2ptls.New(libp2ptls.ID, key, parts.Muxers)
		}
		if err != nil {
			t.Fatal(err)
		}
		parts.Security = append(parts.Security, s)
	}
	u, err := upgrader.New(parts.Security, parts.Muxers, psk, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, &Transport{parts: parts, upgrader: u, rcmgr: &network.NullResourceManager{}}
}

// roundTrip is that of connections of farApart.
const roundTrip = 2 * time.Second

// farApart are the ends of a connection with a delay, for a synctest bubble.
func farApart() (a, b manet.Conn) {
	x, y := net.Pipe()
	return newDelayed(x), newDelayed(y)
}

// A delayed is an end of a connection whose bytes take half a round trip.
type delayed struct {
	net.Conn
	queue  chan delayedBytes
	closed chan struct{}
	close  func()
}

type delayedBytes struct {
	due   time.Time
	bytes []byte
}

func newDelayed(c net.Conn) *delayed {
	d := &delayed{Conn: c, queue: make(chan delayedBytes, 100), closed: make(chan struct{})}
	d.close = sync.OnceFunc(func() { close(d.closed) })
	go func() {
		defer c.Close()
		for {
			select {
			case q := <-d.queue:
				select {
				case <-time.After(time.Until(q.due)):
				case <-d.closed:
					return
				}
				if _, err := c.Write(q.bytes); err != nil {
					return
				}
			case <-d.closed:
				return
			}
		}
	}()
	return d
}

func (d *delayed) Write(b []byte) (n int, err error) {
	select {
	case d.queue <- delayedBytes{time.Now().Add(roundTrip / 2), slices.Clone(b)}:
		return len(b), nil
	case <-d.closed:
		return 0, net.ErrClosed
	}
}

func (d *delayed) Close() error {
	d.close()
	return nil
}

func (d *delayed) LocalMultiaddr() ma.Multiaddr  { return ma.StringCast("/ip4/127.0.0.1/tcp/1") }
func (d *delayed) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast("/ip4/127.0.0.1/tcp/2") }

// wantHello sends a word from s to c.
func wantHello(t *testing.T, c, s tpt.CapableConn) {
	t.Helper()
	out, err := s.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	out.Write([]byte("hello"))
	in, err := c.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Reset()
	b := make([]byte, 5)
	if _, err := io.ReadFull(in, b); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
}
