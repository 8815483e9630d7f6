package holepunch

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestNoFileDescriptors: who has no socket has sent no SYN, and blames no NAT.
func TestNoFileDescriptors(t *testing.T) {
	port, err := tcpport.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	free, err := os.Open("/dev/null") // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	few := lim
	few.Cur = uint64(free.Fd())
	free.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
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
