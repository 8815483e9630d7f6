package transport

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// hostile connects a host that answers OFFERs with f to an enabled dialler.
func hostile(t *testing.T, f func(network.Stream), opts ...Option) (relay, dialler host.Host, relayed network.Conn, peer host.Host) {
	t.Helper()
	relay = newRelay(t)
	peer = newPeer(t)
	peer.SetStreamHandler(holepunch.Protocol, f)
	dialler = newPeer(t, Enable(append(opts, WithSTUNServers(stuntest.New(t)))...))
	return relay, dialler, connectRelayed(t, relay, peer, dialler), peer
}

func TestHostileResponder(t *testing.T) {
	t.Parallel()
	answer := func(change func(*pb.Message)) func(network.Stream) {
		return func(s network.Stream) {
			defer s.Close()
			var m pb.Message
			if err := pbio.NewDelimitedReader(s, 4096).ReadMsg(&m); err != nil {
				return
			}
			answer := newAnswer(&m, m.Candidates...)
			change(answer)
			pbio.NewDelimitedWriter(s).WriteMsg(answer)
		}
	}
	candidate := func(addr string) *pb.Candidate { return newCandidate(pb.Candidate_REFLEXIVE, addr) }
	for name, tc := range map[string]struct {
		f    func(network.Stream)
		want error
	}{
		"resets":            {func(s network.Stream) { s.Reset() }, holepunch.ErrSignalLost},
		"closes":            {func(s network.Stream) { s.Close() }, holepunch.ErrSignalLost},
		"nonsense":          {func(s network.Stream) { io.WriteString(s, "\x05hello"); s.Close() }, holepunch.ErrMalformed},
		"too long":          {func(s network.Stream) { s.Write(append([]byte{0xff, 0xff, 3}, make([]byte, 65535)...)); s.Close() }, holepunch.ErrMalformed},
		"half":              {func(s network.Stream) { s.Write([]byte{100, 8, 2}); s.Close() }, holepunch.ErrMalformed},
		"no candidates":     {answer(func(m *pb.Message) { m.Candidates = nil }), holepunch.ErrNoCandidate},
		"private candidate": {answer(func(m *pb.Message) { m.Candidates = []*pb.Candidate{candidate("10.0.0.1:4001")} }), holepunch.ErrNoCandidate},
		"low port":          {answer(func(m *pb.Message) { m.Candidates = []*pb.Candidate{candidate("127.0.0.1:22")} }), holepunch.ErrNoCandidate},
		"another attempt":   {answer(func(m *pb.Message) { m.Attempt[0]++ }), holepunch.ErrMalformed},
		"no token":          {answer(func(m *pb.Message) { m.Token = nil }), holepunch.ErrMalformed},
		"another protocol":  {answer(func(m *pb.Message) { m.Protocols = []string{"/nobody's/1.0.0"} }), holepunch.ErrNoProtocol},
		"our own address":   {answer(func(*pb.Message) {}), holepunch.ErrNoCandidate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, dialler, relayed, peer := hostile(t, tc.f)
			if _, err := DirectConnect(testContext(t), dialler, peer.ID()); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			wantUntouched(t, relayed)
		})
	}
}

// A hostile initiator gets the reason why it is refused.
func TestHostileInitiator(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	victim := newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
	attacker := newPeer(t)
	relayed := connectRelayed(t, relay, victim, attacker)
	many := func(n int, addr string) (cs []*pb.Candidate) {
		for range n {
			cs = append(cs, newCandidate(pb.Candidate_REFLEXIVE, addr))
		}
		return cs
	}
	for name, tc := range map[string]struct {
		candidates []*pb.Candidate
		want       pb.Status
	}{
		"no candidates":     {nil, pb.Status_NO_CANDIDATE},
		"10,000 candidates": {many(10000, "46.0.2.1:4001"), pb.Status_MALFORMED},
		"nine candidates":   {many(9, "46.0.2.1:4001"), pb.Status_MALFORMED},
		"private":           {many(1, "192.168.1.1:4001"), pb.Status_NO_CANDIDATE},
		"low port":          {many(1, "46.0.2.1:443"), pb.Status_NO_CANDIDATE},
		"multicast":         {many(1, "224.0.0.1:4001"), pb.Status_NO_CANDIDATE},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := sendRaw(t, attacker, victim.ID(), newOffer(tc.candidates...)); got.Status != tc.want {
				t.Errorf("answered %v, want %s", got, tc.want)
			}
		})
	}
	for name, b := range map[string][]byte{
		"truncated": {100, 8, 1},
		"too long":  append([]byte{0xff, 0xff, 3}, make([]byte, 65535)...),
		"nonsense":  []byte("\x05hello"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openRaw(testContext(t), attacker, victim.ID())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			s.Write(b)
			s.CloseWrite()
			var answer pb.Message
			if err := pbio.NewDelimitedReader(s, 4096).ReadMsg(&answer); err != nil || answer.Status != pb.Status_MALFORMED {
				t.Errorf("answered %v, %v, want MALFORMED", &answer, err)
			}
		})
	}
	wantUntouched(t, relayed)
}

// Strangers connect to the punching port when the punch begins, with bytes or without. None of it
// is to the peer's harm, also where resource limits have room for the peer's connection alone.
func TestStrangersAtThePunchingPort(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, victim := range []string{"responder", "initiator"} {
		t.Run(victim, func(t *testing.T) {
			var mu sync.Mutex
			var strangers []net.Conn
			defer func() {
				for _, c := range strangers {
					c.Close()
				}
			}()
			trace := WithTracer(func(e Event) {
				if e.Kind != Offered {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range 12 {
					c, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", itoa(e.Port)))
					if err != nil {
						t.Error(err)
						continue
					}
					switch i % 3 {
					case 0:
						io.WriteString(c, "\x13/multistream/1.0.0\n\x07/noise\n")
					case 1:
						io.WriteString(c, "simopen AAAAAAAAAAAAAAAAAAAAAA\n")
					}
					strangers = append(strangers, c)
				}
			})
			opts := map[string]Option{"responder": WithTracer(nil), "initiator": WithTracer(nil)}
			opts[victim] = trace
			relay := newRelay(t)
			const room = 2 // the relayed connection, and ours
			a, b := newLimited(t, room, Enable(servers, opts["responder"])), newLimited(t, room, Enable(servers, opts["initiator"]))
			connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(strangers) == 0 {
				t.Error("there was no stranger: this test shows nothing")
			}
		})
	}
}

// newTrap listens where nobody is to connect, until the test ends. Where loopback has several
// addresses it has one of its own: other tests dial closed ports of 127.0.0.1, whose numbers the
// kernel may use again.
func newTrap(t *testing.T) (l net.Listener, addr ma.Multiaddr) {
	t.Helper()
	ip := "127.0.0.1"
	if runtime.GOOS == "linux" {
		ip = "127.0.0.3"
	}
	l, err := net.Listen("tcp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, ma.StringCast("/ip4/" + ip + "/tcp/" + itoa(uint16(l.Addr().(*net.TCPAddr).Port)))
}

// A peer has a host dial nothing that it has put into its peerstore.
func TestUpgradeDoesNotScan(t *testing.T) {
	t.Parallel()
	target, addr := newTrap(t)
	hits := make(chan net.Conn, 1)
	go func() {
		for {
			c, err := target.Accept()
			if err != nil {
				close(hits)
				return
			}
			c.Close()
			select {
			case hits <- c:
			default:
			}
		}
	}()
	relay := newRelay(t)
	attacker := newPeer(t)
	// The attacker refuses OFFERs, so that the dial fails.
	attacker.SetStreamHandler(holepunch.Protocol, func(s network.Stream) { s.Reset() })
	victim := newPeer(t, Enable(WithSTUNServers(stuntest.New(t))))
	reserve(t, relay, attacker)
	dialRelayed(t, relay, attacker, victim)
	victim.Peerstore().AddAddr(attacker.ID(), addr, time.Hour)
	for range 5 {
		if _, err := DirectConnect(testContext(t), victim, attacker.ID()); !errors.Is(err, holepunch.ErrSignalLost) {
			t.Fatalf("got %v, want ErrSignalLost", err)
		}
	}
	select {
	case <-hits:
		t.Fatal("the victim dialled an address of the attacker's choice")
	default:
	}
}
