package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"

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

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

var testMuxers = []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}

// newParts makes a host's parts with an identity of their own. Without early, the security
// handshake does not negotiate the muxer.
func newParts(t testing.TB, psk pnet.PSK, early bool, ids ...string) (peer.ID, hostParts) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parts := hostParts{PSK: psk, Muxers: testMuxers}
	muxers := parts.Muxers
	if !early {
		muxers = nil
	}
	for _, id := range ids {
		var s sec.SecureTransport
		if id == noise.ID {
			s, err = noise.New(noise.ID, key, muxers)
		} else {
			s, err = libp2ptls.New(libp2ptls.ID, key, muxers)
		}
		if err != nil {
			t.Fatal(err)
		}
		parts.Security = append(parts.Security, s)
	}
	return p, parts
}

// tcpPair returns the ends of a TCP connection.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if b, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return c.(*net.TCPConn), b
}

// A countedScope counts how often it was given back.
type countedScope struct {
	network.NullScope
	done int
}

func (s *countedScope) Done() { s.done++ }

// secureOver runs a side's part over c, as the agent does, up to the connection.
func secureOver(ctx context.Context, s *attempt, c net.Conn, id string, scope network.ConnManagementScope) (*conn, error) {
	hs, err := s.handshake()
	if err != nil {
		return nil, err
	}
	if hs.Wrap != nil {
		if c, err = hs.Wrap(c); err != nil {
			return nil, err
		}
	}
	if err := hs.Run(ctx, c, id, s.dir == network.DirOutbound); err != nil {
		return nil, err
	}
	return s.multiplex(ctx, unchosenConn{c}, scope)
}

// An unchosenConn is a connection before the initiator's choice.
type unchosenConn struct{ net.Conn }

func (unchosenConn) TCPConn() *net.TCPConn { return nil }

// Both sides come to a connection that they describe in the same way, whatever the host is made of.
func TestSecure(t *testing.T) {
	t.Parallel()
	psk := pnet.PSK(make([]byte, 32))
	for name, tc := range map[string]struct {
		psk   pnet.PSK
		early bool
		id    string
	}{
		"Noise":                  {nil, true, noise.ID},
		"TLS":                    {nil, true, libp2ptls.ID},
		"muxer negotiated apart": {nil, false, noise.ID},
		"TLS, and muxer apart":   {nil, false, libp2ptls.ID},
		"in a private network":   {psk, true, noise.ID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ours := newParts(t, tc.psk, tc.early, noise.ID, libp2ptls.ID)
			q, theirs := newParts(t, tc.psk, tc.early, libp2ptls.ID, noise.ID)
			client := &attempt{t: &Transport{parts: ours}, peer: q, dir: network.DirOutbound}
			server := &attempt{t: &Transport{parts: theirs}, peer: p, dir: network.DirInbound}
			a, b := tcpPair(t)
			served := make(chan tpt.CapableConn, 1)
			go func() {
				defer close(served)
				c, err := secureOver(t.Context(), server, b, tc.id, &network.NullScope{})
				if err != nil {
					t.Error(err)
					return
				}
				served <- c
			}()
			scope := new(countedScope)
			c, err := secureOver(t.Context(), client, a, tc.id, scope)
			if err != nil {
				t.Fatal(err)
			}
			s := <-served
			if s == nil {
				t.FailNow()
			}
			defer s.Close()
			wantHello(t, c, s)
			want := network.ConnectionState{StreamMultiplexer: yamux.ID, Security: client.protocol, Transport: "tcp", UsedEarlyMuxerNegotiation: tc.early}
			for _, end := range []tpt.CapableConn{c, s} {
				if got := end.ConnState(); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			if c.RemotePeer() != q || s.RemotePeer() != p || !c.RemoteMultiaddr().Equal(s.LocalMultiaddr()) {
				t.Errorf("%v, and at the other end %v", c, s)
			}
			c.Close()
			c.CloseWithError(1)
			if scope.done != 1 {
				t.Errorf("the scope was given back %d times", scope.done)
			}
		})
	}
}

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

// Another host at the other end is not the peer.
func TestSecureWithAnother(t *testing.T) {
	t.Parallel()
	for _, id := range []string{noise.ID, libp2ptls.ID} {
		for name, dir := range map[string]network.Direction{"initiator": network.DirOutbound, "responder": network.DirInbound} {
			t.Run(name+id, func(t *testing.T) {
				t.Parallel()
				p, ours := newParts(t, nil, true, id)
				_, theirs := newParts(t, nil, true, id)
				expected, _ := newParts(t, nil, true, id)
				us := &attempt{t: &Transport{parts: ours}, peer: expected, dir: dir}
				other := &attempt{t: &Transport{parts: theirs}, peer: p, dir: network.DirInbound + network.DirOutbound - dir}
				a, b := tcpPair(t)
				over := make(chan struct{})
				go func() {
					defer close(over)
					secureOver(t.Context(), other, b, id, &network.NullScope{})
					b.Close()
				}()
				if c, err := secureOver(t.Context(), us, a, id, &network.NullScope{}); err == nil {
					c.Close()
					t.Error("another peer is taken for the peer")
				}
				a.Close()
				<-over
			})
		}
	}
}

// A muxer that the peer does not negotiate is a failed handshake, and gives the scope back once.
func TestSecureWithoutMuxer(t *testing.T) {
	t.Parallel()
	p, ours := newParts(t, nil, false, noise.ID)
	q, theirs := newParts(t, nil, false, noise.ID)
	client := &attempt{t: &Transport{parts: ours}, peer: q, dir: network.DirOutbound}
	server := &attempt{t: &Transport{parts: theirs}, peer: p, dir: network.DirInbound}
	a, b := tcpPair(t)
	served := make(chan error, 1)
	go func() {
		hs, err := server.handshake()
		if err == nil {
			err = hs.Run(t.Context(), b, noise.ID, false)
		}
		served <- err
	}()
	hs, err := client.handshake()
	if err == nil {
		err = hs.Run(t.Context(), a, noise.ID, true)
	}
	if err := errors.Join(err, <-served); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	scope := new(countedScope)
	failed := make(chan error, 1)
	go func() {
		_, err := client.multiplex(ctx, unchosenConn{a}, scope)
		failed <- err
	}()
	cancel() // there is no answer
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if scope.done != 1 {
		t.Errorf("the scope was given back %d times", scope.done)
	}
}

// A host that has to be in a private network and is in none makes no connection.
func TestForcedPrivateNetwork(t *testing.T) {
	pnet.ForcePrivateNetwork = true
	defer func() { pnet.ForcePrivateNetwork = false }()
	p, parts := newParts(t, nil, true, noise.ID)
	s := &attempt{t: &Transport{parts: parts}, peer: p, dir: network.DirOutbound}
	if _, err := s.handshake(); !errors.Is(err, pnet.ErrNotInPrivateNetwork) {
		t.Errorf("got %v, want ErrNotInPrivateNetwork", err)
	}
	s.t.parts.PSK = make([]byte, 32)
	if _, err := s.handshake(); err != nil {
		t.Error(err)
	}
}

func TestSecureByUnknownProtocol(t *testing.T) {
	t.Parallel()
	p, parts := newParts(t, nil, true, noise.ID)
	s := &attempt{t: &Transport{parts: parts}, peer: p, dir: network.DirOutbound}
	if err := s.secure(t.Context(), nil, libp2ptls.ID, true); !errors.Is(err, holepunch.ErrNoProtocol) {
		t.Errorf("got %v, want ErrNoProtocol", err)
	}
}
