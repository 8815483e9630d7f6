package holepunch

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-msgio/pbio"
	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// A hostilePeer does what a program says. The first byte is about us; see runProgram. Each step is
// a byte, with as many after it as it wants.
type hostilePeer struct {
	*testing.T
	out, in net.Conn
	program []byte
	over    chan struct{}    // closed when our side has ended
	attempt chan *pb.Message // that we begin with
	deaf    chan struct{}    // closed when the peer reads no more
	once    sync.Once
	heard   []*pb.Message
	first   *pb.Message // what we began with, or something of the peer's own
	last    []byte      // what was said last
	again   int         // how often that was said once more
}

// maxAgain bounds what a program takes: the fuzzer's own bound is 10 s.
const maxAgain = 1000

func (p *hostilePeer) byte() (b byte) {
	if len(p.program) > 0 {
		b, p.program = p.program[0], p.program[1:]
	}
	return b
}

// The steps of a program. Every other is a message whose type it is, known or not.
const (
	stepRaw     = 0x20 + iota // a byte n, and n bytes
	stepCut                   // half of a message, the rest of which does not come
	stepEndless               // a length beyond all bounds
	stepAgain                 // the last message once more, n times
	stepWait                  // n tenths of a second
	stepClose                 // no more is said
	stepDeaf                  // no more is heard
)

// speak runs the program, and closes what it says at its end.
func (p *hostilePeer) speak() {
	defer p.out.Close()
	for len(p.program) > 0 {
		var b []byte
		switch step := p.byte(); step {
		case stepRaw:
			n := min(int(p.byte()), len(p.program))
			b, p.program = p.program[:n], p.program[n:]
		case stepCut:
			b = p.message(p.byte())
			b = b[:len(b)/2]
		case stepEndless:
			b = append(varint.ToUvarint(1<<40), make([]byte, p.byte())...)
		case stepAgain:
			n := min(int(p.byte()), maxAgain-p.again)
			p.again += n
			for range n {
				if _, err := p.out.Write(p.last); err != nil {
					return
				}
			}
		case stepWait:
			select {
			case <-time.After(time.Duration(p.byte()) * time.Second / 10):
			case <-p.over:
				return
			}
		case stepClose:
			return
		case stepDeaf:
			p.once.Do(func() { close(p.deaf) })
			p.in.SetReadDeadline(time.Unix(1, 0))
		default:
			b = p.message(step)
			p.last = b
		}
		if _, err := p.out.Write(b); err != nil {
			return
		}
	}
	<-p.over // silence, and no end
}

// message has the type in the lower bits of its step; those of how say what is wrong with it.
func (p *hostilePeer) message(step byte) []byte {
	how, round, n := p.byte(), p.byte(), p.byte()
	first := p.begun()
	m := &pb.Message{
		Type:      pb.Message_Type(step % 11),
		Attempt:   first.Attempt,
		Token:     []byte("a token of peers"),
		Status:    pb.Status(how >> 4),
		Round:     uint32(round % 11),
		Features:  []pb.Feature{pb.Feature(round >> 4 & 3), pb.Feature(round >> 6)},
		Behaviour: &pb.Behaviour{Mapping: pb.Behaviour_Mapping(n >> 4 & 3), Ports: pb.Behaviour_Ports(n >> 6), Filtering: 3},
	}
	switch how & 15 {
	case 1:
		m.Attempt = make([]byte, 16)
	case 2:
		m.Attempt = m.Attempt[:5]
	case 3:
		m.Detail = string(make([]byte, 4000))
	case 4:
		m.Detail = string(make([]byte, 5000)) // too long in all
	case 5:
		m.Protocols = slices.Repeat([]string{"a", "", "b"}, 20)
	case 6:
		m.Protocols, m.Flight = []string{"a"}, make([]byte, 10)
	case 7:
		m.Protocols, m.Flight = []string{"b", "a"}, make([]byte, maxFlight)
	case 8:
		m.Token = nil
	case 9:
		m.Token = first.Token // ours, reflected
	case 10:
		m.Token = m.Token[:15]
	case 11:
		m.Flight = make([]byte, maxFlight+1)
	}
	for range n % 11 {
		kind, which := p.byte(), p.byte()
		m.Candidates = append(m.Candidates, &pb.Candidate{
			Kind: pb.Candidate_Kind(kind % 7),
			Addr: hostileAddrs[int(which)%len(hostileAddrs)],
			Port: uint32(kind >> 6),
		})
	}
	b, err := proto.Marshal(m)
	if err != nil {
		p.Error(err)
	}
	return raw(b)
}

// begun is our OFFER, or else a message of the peer's own.
func (p *hostilePeer) begun() *pb.Message {
	if p.first == nil {
		p.first = &pb.Message{Attempt: []byte("0123456789abcdef"), Token: []byte("0123456789abcdef")}
		select {
		case p.first = <-p.attempt:
		case <-p.deaf:
		case <-p.over:
		case <-time.After(200 * time.Millisecond): // we do not begin
		}
	}
	return p.first
}

var hostileAddrs = func() (as [][]byte) {
	for _, s := range []string{
		"/ip4/46.0.2.1/tcp/40000", "/ip4/46.0.2.2/tcp/40001", "/ip4/46.0.2.3/tcp/40002", "/ip4/46.0.1.1/tcp/40001", "/ip4/46.0.1.1/tcp/40000",
		"/ip4/192.168.1.8/tcp/40000", "/ip4/127.0.0.1/tcp/40000", "/ip6/2a00::1/tcp/40000", "/ip6/::ffff:46.0.2.1/tcp/40000", "/ip4/46.0.2.1/tcp/22",
		"/ip4/46.0.2.1/udp/40000", "/dns4/localhost/tcp/40000", "/ip4/224.0.0.1/tcp/40000",
	} {
		as = append(as, ma.StringCast(s).Bytes())
	}
	return append(as, nil, []byte{4, 1})
}()

// hear reads what we say, until we end or the peer is deaf.
func (p *hostilePeer) hear() {
	defer p.in.Close()
	r := pbio.NewDelimitedReader(p.in, maxMessage)
	for {
		m := new(pb.Message)
		if r.ReadMsg(m) != nil {
			<-p.over
			return
		}
		if len(p.heard) == 0 {
			p.attempt <- m
		}
		p.heard = append(p.heard, m)
	}
}

// check looks at what we said: in an order that makes sense, and nothing after the end. No punch
// succeeds here, so that no FLIGHT follows DONE.
func (p *hostilePeer) check() {
	round, crossed, flights, end := -1, -1, 0, ""
	for i, m := range p.heard {
		kind := m.Type.String()
		switch {
		case end != "":
			p.Errorf("%s comes after %s", kind, end)
		case string(m.Attempt) != string(p.heard[0].Attempt):
			p.Errorf("%s is of another attempt", kind)
		case len(m.Candidates) > punch.MaxCandidates:
			p.Errorf("%s has %d candidates", kind, len(m.Candidates))
		}
		switch m.Type {
		case pb.Message_OFFER:
			if i > 0 {
				p.Errorf("%s comes later", kind)
			}
			round = 0
		case pb.Message_ANSWER, pb.Message_RETRY:
			if m.Status == pb.Status_OK {
				if int(m.Round) <= round || m.Round > maxRounds {
					p.Errorf("%s of round %d comes after that of round %d", kind, m.Round, round)
				}
				round = int(m.Round)
				if m.Type == pb.Message_ANSWER && round == 0 && len(m.Token) != len(punch.Token{}) {
					p.Errorf("%s has a token of %d bytes", kind, len(m.Token))
				}
			}
		case pb.Message_FLIGHT:
			if flights++; flights > 1 || round < 0 {
				p.Errorf("%s comes twice, or before OFFER or ANSWER", kind)
			}
		case pb.Message_CROSS:
			if round < 0 || crossed == round {
				p.Errorf("%s comes twice, or before a round", kind)
			}
			crossed = round
		}
		if m.Type == pb.Message_DONE || m.Status != pb.Status_OK {
			end = kind + " " + m.Status.String()
			if m.Status == pb.Status_OK && m.Type == pb.Message_ANSWER {
				p.Errorf("%s ends an attempt", end)
			}
		}
	}
}
