package transport

import (
	"bytes"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// later is what a later simopen may add to each of its messages.
var later = []byte{
	0xa2, 0x06, 5, 'l', 'a', 't', 'e', 'r', // field 100
	0x4a, 1, 99, // feature 99
	0x1a, 12, 8, 77, 0x12, 8, 4, 46, 0, 9, 1, 6, 0x9c, 0x40, // a candidate of kind 77
}

// A laterStream makes the messages of both ends those of a later simopen.
type laterStream struct {
	network.Stream
	in      msgio.ReadCloser
	pending bytes.Buffer // read, and not yet handed on
	out     []byte
}

func newLaterStream(s network.Stream) *laterStream {
	return &laterStream{Stream: s, in: msgio.NewVarintReaderSize(s, 4096)}
}

func (s *laterStream) Read(b []byte) (int, error) {
	if s.pending.Len() == 0 {
		m, err := s.in.ReadMsg()
		if err != nil {
			return 0, err
		}
		msgio.NewVarintWriter(&s.pending).WriteMsg(append(m, later...))
	}
	return s.pending.Read(b)
}

// Write may be given a message in parts.
func (s *laterStream) Write(b []byte) (int, error) {
	s.out = append(s.out, b...)
	m, err := msgio.NewVarintReader(bytes.NewReader(s.out)).ReadMsg()
	if err != nil {
		return len(b), nil // the rest is to come
	}
	s.out = nil
	return len(b), msgio.NewVarintWriter(s.Stream).WriteMsg(append(m, later...))
}

// TestLaterSimopen: a peer with a later simopen, which has further protocols and says more in
// this one, is one like any other.
func TestLaterSimopen(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	reserve(t, relay, a)
	served := make(chan struct{}, 100)
	a.SetStreamHandler(holepunch.Protocol, func(s network.Stream) {
		find(a).handle(newLaterStream(s))
		served <- struct{}{}
	})
	for _, id := range []protocol.ID{"/simopen/1.1.0", "/simopen/2.0.0"} {
		a.SetStreamHandler(id, func(s network.Stream) {
			t.Errorf("a stream of %s was opened", id)
			s.Reset()
		})
	}
	dialRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	<-served
	wantNoSimopenAddr(t, a, b)
}
