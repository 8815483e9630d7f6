package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"
	"go.uber.org/fx"
	"google.golang.org/protobuf/proto"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// Any libp2p peer tells by identify from which address it sees a connection. The
// port asks over one with a throw-away identity: with the host's own, the peer
// would take it for a connection to the host, and open streams there of which the
// host knows nothing.

const (
	// What identify in go-libp2p reads: messages of 8 KiB, of which several make
	// one. Other implementations keep to that.
	maxIdentify      = 8 << 10
	maxIdentifyParts = 10

	// serveTimeout is what a stream of the observer's may take, as in go-libp2p's
	// identify.
	serveTimeout = 5 * time.Second
)

// hostParts is what a host's connections are upgraded with. The host's Upgrader
// does not tell, and has the host's identity built in.
type hostParts struct {
	fx.In
	Security []sec.SecureTransport `name:"security"`
	Muxers   []upgrader.StreamMuxer
	PSK      pnet.PSK
}

// defaultParts are go-libp2p's defaults, with TLS and Noise for no Security.
var defaultParts = hostParts{
	Muxers: []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}},
}

// throwAway makes an Upgrader that differs from the host's in the identity.
func (t *Transport) throwAway() (tpt.Upgrader, crypto.PubKey, error) {
	key, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ids := []protocol.ID{libp2ptls.ID, noise.ID}
	if t.parts.Security != nil {
		ids = nil
		for _, s := range t.parts.Security {
			ids = append(ids, s.ID())
		}
	}
	var security []sec.SecureTransport
	for _, id := range ids {
		var own sec.SecureTransport
		switch id {
		case noise.ID:
			own, err = noise.New(id, key, t.parts.Muxers)
		case libp2ptls.ID:
			own, err = libp2ptls.New(id, key, t.parts.Muxers)
		default:
			continue // nobody knows how to make it
		}
		if err != nil {
			return nil, nil, err
		}
		security = append(security, own)
	}
	if len(security) == 0 {
		return nil, nil, errors.New("the host has neither Noise nor TLS")
	}
	u, err := upgrader.New(security, t.parts.Muxers, t.parts.PSK, t.rcmgr, t.gater)
	return u, pub, err
}

// libp2pPeer is a peer and an address at which it listens.
type libp2pPeer struct {
	t    *Transport
	id   peer.ID
	addr netip.AddrPort
}

func (p libp2pPeer) String() string { return fmt.Sprintf("%s at %s", p.id, p.addr) }
func (p libp2pPeer) ipv4() bool     { return p.addr.Addr().Is4() }

func (p libp2pPeer) ask(ctx context.Context, d stun.Dialer) (observer, netip.AddrPort, error) {
	o, err := p.t.observe(ctx, d, p.id, p.addr)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // the muxer has errors of its own
		}
		return nil, netip.AddrPort{}, &Error{Op: "observe", Peer: p.id, Err: fmt.Errorf("at %s: %w", p.addr, err)}
	}
	return o, o.mapped, nil
}

// An identified is a connection to a peer that has told from where it sees it. The
// connection cannot change, and kernel and yamux keep it alive by themselves; to ask
// again would spend what identify allows a network of (in go-libp2p, one request
// in 5 s for a /24).
type identified struct {
	conn   tpt.CapableConn
	mapped netip.AddrPort
	remote netip.AddrPort
	done   chan struct{}
	err    error // once done is closed
}

var _ observer = (*identified)(nil)

// observe connects to a peer and asks it.
func (t *Transport) observe(ctx context.Context, d stun.Dialer, p peer.ID, addr netip.AddrPort) (*identified, error) {
	u, key, err := t.throwAway()
	if err != nil {
		return nil, err
	}
	conn, err := t.dialObserver(ctx, d, u, p, addr)
	if err != nil {
		return nil, err
	}
	o := &identified{conn: conn, remote: addr, done: make(chan struct{})}
	go o.serve(key)
	if o.mapped, err = identifyUs(ctx, conn); err == nil {
		err = stun.CheckMapped(addr.Addr(), o.mapped.Addr())
	}
	if err != nil {
		o.Close()
		return nil, fmt.Errorf("identify: %w", err)
	}
	return o, nil
}

// dialObserver asks gater and resource manager as for a connection of the host.
func (t *Transport) dialObserver(ctx context.Context, d stun.Dialer, u tpt.Upgrader, p peer.ID, addr netip.AddrPort) (tpt.CapableConn, error) {
	raddr := toMultiaddr(addr)
	if t.gater != nil && !t.gater.InterceptAddrDial(p, raddr) {
		return nil, ErrGated
	}
	scope, err := t.rcmgr.OpenConnection(network.DirOutbound, true, raddr)
	if err != nil {
		return nil, err
	}
	conn, err := func() (tpt.CapableConn, error) {
		if err := scope.SetPeer(p); err != nil {
			return nil, err
		}
		nc, err := d.DialContext(ctx, "tcp", addr.String())
		if err != nil {
			return nil, err
		}
		maconn, err := manet.WrapNetConn(nc)
		if err != nil {
			nc.Close()
			return nil, err
		}
		return u.Upgrade(ctx, t, maconn, network.DirOutbound, p, scope)
	}()
	if err != nil {
		scope.Done()
		return nil, err
	}
	return conn, nil
}

// identifyUs asks over a connection for its address as the other side sees it.
func identifyUs(ctx context.Context, conn tpt.CapableConn) (netip.AddrPort, error) {
	if err := conn.Scope().ReserveMemory(maxIdentify, network.ReservationPriorityAlways); err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Scope().ReleaseMemory(maxIdentify)
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	err = msmux.SelectProtoOrFail[protocol.ID](identify.ID, s)
	if err != nil {
		s.Reset()
		return netip.AddrPort{}, err
	}
	a, err := readObserved(s)
	if err != nil {
		s.Reset()
		return netip.AddrPort{}, err
	}
	s.Close() // a reset would break off what more the peer has to say
	return a, nil
}

// errNoObserved: a peer's identify has no address of ours that is of use.
var errNoObserved = errors.New("no observed address of TCP over IP")

// readObserved reads an Identify message as far as the observed address.
func readObserved(r io.Reader) (netip.AddrPort, error) {
	in := pbio.NewDelimitedReader(r, maxIdentify)
	for range maxIdentifyParts {
		var m idpb.Identify
		err := in.ReadMsg(&m)
		if errors.Is(err, io.EOF) {
			return netip.AddrPort{}, errNoObserved
		}
		if err != nil {
			return netip.AddrPort{}, err
		}
		if m.ObservedAddr == nil {
			continue
		}
		a, err := ma.NewMultiaddrBytes(m.ObservedAddr)
		if err != nil {
			return netip.AddrPort{}, err
		}
		if len(a) == 3 && a[2].Code() == ma.P_P2P {
			a = a[:2] // js-libp2p says whom it sees there
		}
		ap, ok := fromMultiaddr(a)
		if ip := ap.Addr(); ok && !ip.IsUnspecified() && !ip.IsMulticast() && ap.Port() != 0 {
			return ap, nil
		}
		return netip.AddrPort{}, fmt.Errorf("%w: %s", errNoObserved, a)
	}
	return netip.AddrPort{}, errNoObserved
}

// serve answers what the peer asks, until the connection ends: identify says who
// this is, so that no peer finds fault with it, and there is nothing else. One
// stream at a time is enough, and a bound.
func (o *identified) serve(key crypto.PubKey) {
	defer close(o.done)
	mux := msmux.NewMultistreamMuxer[protocol.ID]()
	mux.AddHandler(identify.ID, nil)
	for {
		s, err := o.conn.AcceptStream()
		if err != nil {
			o.err = err
			o.conn.Close() // gives its scope back
			return
		}
		s.SetDeadline(time.Now().Add(serveTimeout))
		if _, _, err := mux.Negotiate(s); err != nil {
			s.Reset()
			continue
		}
		if err := writeIdentify(s, key); err != nil {
			s.Reset()
			continue
		}
		s.Close()
	}
}

// writeIdentify tells the public key, without which some implementations refuse the
// message, and what this is.
func writeIdentify(w io.Writer, key crypto.PubKey) error {
	k, err := crypto.MarshalPublicKey(key)
	if err != nil {
		return err
	}
	return pbio.NewDelimitedWriter(w).WriteMsg(&idpb.Identify{
		PublicKey:    k,
		AgentVersion: proto.String("simopen, asking for its address"),
	})
}

func (o *identified) Binding(context.Context) (netip.AddrPort, error) { return o.mapped, nil }
func (o *identified) RemoteAddr() netip.AddrPort                      { return o.remote }
func (o *identified) Done() <-chan struct{}                           { return o.done }
func (o *identified) Err() error                                      { <-o.done; return o.err }

func (o *identified) Close() error {
	err := o.conn.Close()
	<-o.done
	return err
}
