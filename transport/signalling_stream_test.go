package transport

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// Raw messages, as a hostile peer writes them.

func random16() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

func newCandidate(kind pb.Candidate_Kind, addr string) *pb.Candidate {
	return &pb.Candidate{Kind: kind, Addr: toMultiaddr(netip.MustParseAddrPort(addr)).Bytes()}
}

func newOffer(candidates ...*pb.Candidate) *pb.Message {
	return &pb.Message{
		Type:       pb.Message_OFFER,
		Attempt:    random16(),
		Token:      random16(),
		Protocols:  []string{noise.ID},
		Candidates: candidates,
	}
}

func newAnswer(offer *pb.Message, candidates ...*pb.Candidate) *pb.Message {
	return &pb.Message{
		Type:       pb.Message_ANSWER,
		Attempt:    offer.Attempt,
		Token:      random16(),
		Protocols:  offer.Protocols[:1],
		Candidates: candidates,
	}
}

// ownOffer returns what a host offers.
func ownOffer(ctx context.Context, tr *Transport) (*pb.Message, error) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	var dialled sync.WaitGroup
	defer dialled.Wait()
	defer ours.Close()
	dialled.Go(func() { tr.agent.Dial(ctx, ours, nil) })
	theirs.SetDeadline(time.Now().Add(testTimeout / 2))
	var offer pb.Message
	return &offer, pbio.NewDelimitedReader(theirs, 4096).ReadMsg(&offer)
}

// namedAt returns the addresses of candidates of one kind.
func namedAt(m *pb.Message, kind pb.Candidate_Kind) (addrs []netip.AddrPort) {
	for _, c := range m.Candidates {
		if a, err := ma.NewMultiaddrBytes(c.Addr); err == nil && c.Kind == kind {
			addrs = append(addrs, fromMultiaddrs([]ma.Multiaddr{a})...)
		}
	}
	return addrs
}

// openRaw opens a signalling stream to a peer.
func openRaw(ctx context.Context, h host.Host, to peer.ID) (network.Stream, error) {
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, "test"), to, holepunch.Protocol)
	if err != nil {
		return nil, err
	}
	return s, s.SetDeadline(time.Now().Add(testTimeout / 2))
}

// sendRaw sends a message on a new signalling stream, and returns that and what comes back first.
// The stream stays open, so that the attempt goes on.
func sendRaw(t testing.TB, h host.Host, to peer.ID, m *pb.Message) (network.Stream, *pb.Message) {
	t.Helper()
	s, err := openRaw(testContext(t), h, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset() })
	pbio.NewDelimitedWriter(s).WriteMsg(m) // beyond the bounds, the other side may stop reading
	var answer pb.Message
	if err := pbio.NewDelimitedReader(s, 4096).ReadMsg(&answer); err != nil {
		t.Fatal(err)
	}
	return s, &answer
}
