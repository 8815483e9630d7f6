package transport

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["stranger"] = strangerRole }

// An attack is what a stranger does to a port.
type attack struct {
	Kind    string // a key of attacks
	Targets []string
	Victim  peer.ID `json:",omitempty"` // an empty one cannot be read
	Server  bool    // the victim is the client of the handshake
	Say     []byte  // what was heard of another handshake's side that is not the victim's
}

// A booty is what a stranger got by its attack.
type booty struct {
	Tried, Connected int
	Most, All        int // bytes of a connection, and of all together
	Admitted         int // connections on which the victim has opened a stream for it
	Held             int // connections that the victim has not ended
}

// attacks are what a stranger does with a connection, before it waits for its end. So many
// connections at once, again and again.
var attacks = map[string]struct {
	atOnce int
	do     func(*stranger, net.Conn)
}{
	"says nothing":      {30, func(*stranger, net.Conn) {}},
	"crowd":             {250, func(*stranger, net.Conn) {}},
	"opens and closes":  {30, func(_ *stranger, c net.Conn) { c.Close() }},
	"one byte a second": {30, (*stranger).drip},
	"half a handshake":  {30, func(s *stranger, c net.Conn) { c.Write(s.firstFlight()) }},
	"noise":             {30, func(s *stranger, c net.Conn) { s.upgrade(c, s.noise) }},
	"tls":               {30, func(s *stranger, c net.Conn) { s.upgrade(c, s.tls) }},
	"replays":           {30, func(s *stranger, c net.Conn) { c.Write(s.attack.Say) }},
}

// A stranger is a host that has nothing to do with the peers, but their port.
type stranger struct {
	attack
	noise, tls sec.SecureTransport

	mu  sync.Mutex
	got booty
}

func newStranger() (*stranger, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &stranger{}
	if s.noise, err = noise.New(noise.ID, key, testMuxers); err != nil {
		return nil, err
	}
	s.tls, err = libp2ptls.New(libp2ptls.ID, key, testMuxers)
	return s, err
}

// strangerRole attacks as commanded, until the next command. It then emits what it got.
func strangerRole(c *labtest.Child) error {
	for {
		s, err := newStranger()
		if err != nil {
			return err
		}
		switch err := c.Receive(&s.attack); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		got, err := s.attackOnce(c)
		if err != nil {
			return err
		}
		if err := c.Emit(got); err != nil {
			return err
		}
	}
}

// attackOnce attacks until the parent says something.
func (s *stranger) attackOnce(c *labtest.Child) (booty, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	began := make(chan struct{}, 1)
	for i := range attacks[s.Kind].atOnce {
		all.Go(func() { s.run(ctx, s.Targets[i%len(s.Targets)], began) })
	}
	<-began
	if err := c.Emit(s.Kind); err != nil {
		return booty{}, err
	}
	var enough attack
	if err := c.Receive(&enough); err != nil {
		return booty{}, err
	}
	stop()
	s.expectEnd(&all)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got, nil
}

// expectEnd waits for the victim to end the connections.
func (s *stranger) expectEnd(all *sync.WaitGroup) {
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(testTimeout / 4):
	}
}

// run connects, and again when the victim has ended that.
func (s *stranger) run(ctx context.Context, target string, began chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp4", target)
		s.count(func(b *booty) { b.Tried++ })
		select {
		case began <- struct{}{}:
		default:
		}
		if err == nil {
			s.hold(ctx, conn)
		}
		select {
		case <-time.After(15 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *stranger) hold(ctx context.Context, conn net.Conn) {
	c := &tallied{Conn: conn}
	s.count(func(b *booty) { b.Connected++; b.Held++ })
	defer s.count(func(b *booty) {
		b.Held--
		b.Most = max(b.Most, c.n)
		b.All += c.n
	})
	defer c.Close()
	attacks[s.Kind].do(s, c)
	io.Copy(io.Discard, c) // until it ends
}

func (s *stranger) count(f func(*booty)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.got)
}

// A tallied connection knows how many bytes came.
type tallied struct {
	net.Conn
	n int
}

func (c *tallied) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n += n
	return n, err
}

// firstFlight is what a side of Noise's handshake says first, with the negotiation of it.
func (s *stranger) firstFlight() []byte {
	hello := []byte("\x13/multistream/1.0.0\n\x07/noise\n")
	if s.Server {
		return append(hello, 0, 200) // of 200 bytes that do not come
	}
	key := make([]byte, 32)
	rand.Read(key)
	return append(append(hello, 0, 32), key...)
}

func (s *stranger) drip(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(time.Millisecond)) // to see the end of it between two
	b := make([]byte, 1024)
	for _, next := range s.firstFlight() {
		if _, err := c.Write([]byte{next}); err != nil {
			return
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		for {
			if _, err := c.Read(b); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					break
				}
				return
			}
		}
	}
	c.SetReadDeadline(time.Time{})
}

// upgrade does all that a libp2p host does, with the stranger's own identity.
func (s *stranger) upgrade(c net.Conn, security sec.SecureTransport) {
	u, err := upgrader.New([]sec.SecureTransport{security}, testMuxers, nil, nil, nil)
	if err != nil {
		panic(err)
	}
	m, err := manet.WrapNetConn(c)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout/4)
	defer cancel()
	var conn tpt.CapableConn
	if s.Server {
		conn, err = u.Upgrade(ctx, nil, m, network.DirInbound, "", &network.NullScope{})
	} else {
		conn, err = u.Upgrade(ctx, nil, m, network.DirOutbound, s.Victim, &network.NullScope{})
	}
	if err != nil {
		return
	}
	defer conn.Close()
	// A client is done before the server has verified its identity.
	st, err := conn.OpenStream(ctx)
	if err != nil {
		return
	}
	defer st.Reset()
	st.SetDeadline(time.Now().Add(testTimeout / 4))
	if err := msmux.SelectProtoOrFail(string(ping.ID), st); err == nil {
		s.count(func(b *booty) { b.Admitted++ })
	}
}

func (b booty) String() string {
	return fmt.Sprintf("%d of %d connects, %d bytes on one at most, %d in all", b.Connected, b.Tried, b.Most, b.All)
}
