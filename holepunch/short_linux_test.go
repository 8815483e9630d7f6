package holepunch

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestNoFileDescriptors: who has no socket has sent no SYN, and blames no NAT.
func TestNoFileDescriptors(t *testing.T) {
	port, err := tcpport.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	labtest.NoFiles(t)
	expect := port.Expect()
	defer expect.Close()
	_, err = Open(t.Context(), Punch{
		Locals: []Local{{Port: port, Expect: expect}},
		Remote: []Candidate{{Kind: pb.Candidate_REFLEXIVE, Addr: netip.MustParseAddrPort("127.0.0.1:9")}},
		Window: 100 * time.Millisecond,
	}, func(context.Context, *Conn) (*Conn, error) { return nil, errors.New("there is no connection") })
	if reason := ReasonOf(err); reason != ErrNoSocket {
		t.Errorf("got %q in %v, want %q", reason, err, ErrNoSocket)
	}
}
