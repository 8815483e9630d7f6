package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	idpb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	msmux "github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/proto"
)

const (
	// What identify in go-libp2p reads: messages of 8 KiB, of which several make one. Other
	// implementations keep to that.
	maxIdentify      = 8 << 10
	maxIdentifyParts = 10

	// serveTimeout is what a stream of the observer's may take, as in go-libp2p's identify.
	serveTimeout = 5 * time.Second
)

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
			a = a[:2] // js-libp2p adds the peer that it sees there
		}
		ap, ok := fromMultiaddr(a)
		if ip := ap.Addr(); ok && !ip.IsUnspecified() && !ip.IsMulticast() && ap.Port() != 0 {
			return ap, nil
		}
		return netip.AddrPort{}, fmt.Errorf("%w: %s", errNoObserved, a)
	}
	return netip.AddrPort{}, errNoObserved
}

// serveIdentify answers what the peer asks, until the connection ends, and returns why it did. It
// serves identify, so that the peer accepts the connection, and no other protocol. One stream at a
// time is enough, and a bound.
func serveIdentify(conn tpt.CapableConn, key crypto.PubKey) error {
	mux := msmux.NewMultistreamMuxer[protocol.ID]()
	mux.AddHandler(identify.ID, nil)
	for {
		s, err := conn.AcceptStream()
		if err != nil {
			conn.Close() // gives its scope back
			return err
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

// writeIdentify writes the public key, without which some implementations refuse the message, and
// what this is.
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
