package holepunch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-msgio"
	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Bounds of a message. What exceeds one is malformed.
const (
	// maxMessage bounds a message, in bytes. The longest carries a flight, and has some 2.6 kB.
	// Eight protocols, eight IPv6 candidates and a detail need less.
	maxMessage = 4096

	// maxFlight bounds a flight, in bytes. The largest of go-libp2p's handshakes is TLS's second
	// one, 1,983 bytes with the muxers.
	maxFlight = 2560

	// maxProtocols bounds how many handshake protocols are named, and maxProtocol the length of
	// each, in bytes. Libp2p has two.
	maxProtocols = 8
	maxProtocol  = 64

	// maxRounds is how often one attempt may be retried with fresh candidates. A round takes a
	// second and more, and libp2p gives a dial 15 s.
	maxRounds = 8
)

// maxDetail bounds the text that goes with a status, in bytes. Longer text is cut.
const maxDetail = 256

// An attemptID ties the messages of one attempt together.
type attemptID [16]byte

// A description is what OFFER, ANSWER and RETRY say about a side.
type description struct {
	candidates []punch.Candidate
	behaviour  stun.Behaviour
	guessing   bool // it is willing to guess ports
	following  bool // its predicted candidates are still to come, in CANDIDATES
	preserved  bool // a fresh port would keep its number; known of this side alone
}

// A message is a pb.Message whose fields were found to be within bounds.
type message struct {
	typ     pb.Message_Type
	attempt attemptID
	description
	round  int
	status Status
	detail string

	// In OFFER, and in ANSWER of round 0 with status OK.
	token     punch.Token
	protocols []string

	flight []byte // in FLIGHT

	// Of OFFER, from the sender to the relay; of such an ANSWER, since the OFFER came; of CROSS,
	// until the pairs begin.
	delay time.Duration
}

// begins reports whether the message is one of the two with which an attempt begins, which have a
// token.
func (m *message) begins() bool {
	return m.typ == pb.Message_OFFER || m.typ == pb.Message_ANSWER && m.status == StatusOK && m.round == 0
}

// hasDelay reports whether the message is one of those in which a delay has a meaning.
func (m *message) hasDelay() bool {
	return m.typ == pb.Message_CROSS || m.begins()
}

func (m *message) marshal() *pb.Message {
	p := &pb.Message{
		Type:      m.typ,
		Attempt:   m.attempt[:],
		Status:    pb.Status(m.status),
		Detail:    clip(m.detail),
		Behaviour: behaviourToPB(m.behaviour),
		Round:     uint32(m.round),
	}
	if m.begins() {
		p.Token, p.Protocols = m.token[:], m.protocols
	}
	if m.typ == pb.Message_FLIGHT {
		p.Flight = m.flight
	}
	if m.hasDelay() {
		p.Delay = uint32(min(m.delay.Microseconds(), math.MaxUint32))
	}
	if m.guessing {
		p.Features = append(p.Features, pb.Feature_GUESSING)
	}
	if m.following {
		p.Features = append(p.Features, pb.Feature_FOLLOWING)
	}
	for _, c := range m.candidates {
		p.Candidates = append(p.Candidates, &pb.Candidate{
			Kind: pb.Candidate_Kind(c.Kind),
			Addr: addrToBytes(c.Addr),
			Port: uint32(c.Port),
		})
	}
	return p
}

// unmarshal checks bounds. For a message beyond them it returns only the attempt, for the refusal.
// It leaves out what it does not know (kinds of candidate, addresses other than IP and TCP), so
// that a later version can add to the protocol.
func unmarshal(p *pb.Message) (*message, error) {
	m := &message{typ: p.Type}
	if p.Type == pb.Message_ANSWER || p.Type == pb.Message_DONE {
		m.status, m.detail = Status(p.Status), clip(p.Detail)
	}
	if len(p.Attempt) != len(m.attempt) {
		return m, fmt.Errorf("%w: attempt ID of %d bytes, want %d", ErrMalformed, len(p.Attempt), len(m.attempt))
	}
	copy(m.attempt[:], p.Attempt)
	if len(p.Candidates) > punch.MaxCandidates {
		return m, fmt.Errorf("%w: %d candidates, at most %d are allowed", ErrMalformed, len(p.Candidates), punch.MaxCandidates)
	}
	if p.Round > maxRounds {
		return m, fmt.Errorf("%w: round %d, at most %d are allowed", ErrMalformed, p.Round, maxRounds)
	}
	m.round = int(p.Round)
	if m.hasDelay() {
		m.delay = time.Duration(p.Delay) * time.Microsecond
	}
	m.behaviour = behaviourFromPB(p.Behaviour)
	m.guessing = slices.Contains(p.Features, pb.Feature_GUESSING)
	m.following = slices.Contains(p.Features, pb.Feature_FOLLOWING)
	for _, c := range p.Candidates {
		if c, ok := candidateFromPB(c); ok {
			m.candidates = append(m.candidates, c)
		}
	}
	switch {
	case m.begins():
		return m, m.unmarshalBeginning(p)
	case m.typ == pb.Message_FLIGHT && len(p.Flight) > maxFlight:
		return m, fmt.Errorf("%w: flight of %d bytes, at most %d are allowed", ErrMalformed, len(p.Flight), maxFlight)
	case m.typ == pb.Message_FLIGHT:
		m.flight = p.Flight
	}
	return m, nil
}

func (m *message) unmarshalBeginning(p *pb.Message) error {
	switch {
	case len(p.Token) != len(m.token):
		return fmt.Errorf("%w: token of %d bytes, want %d", ErrMalformed, len(p.Token), len(m.token))
	case len(p.Protocols) > maxProtocols:
		return fmt.Errorf("%w: %d protocols, at most %d are allowed", ErrMalformed, len(p.Protocols), maxProtocols)
	}
	for _, id := range p.Protocols {
		if len(id) == 0 || len(id) > maxProtocol {
			return fmt.Errorf("%w: protocol of %d bytes, 1 to %d are allowed", ErrMalformed, len(id), maxProtocol)
		}
	}
	copy(m.token[:], p.Token)
	m.protocols = p.Protocols
	return nil
}

func candidateFromPB(p *pb.Candidate) (punch.Candidate, bool) {
	addr, ok := addrFromBytes(p.GetAddr())
	c := punch.Candidate{Addr: addr}
	switch p.GetKind() {
	case pb.Candidate_REFLEXIVE:
		ok = ok && p.GetPort() < punch.MaxPorts
		c.Port = int(p.GetPort())
	case pb.Candidate_PREDICTED, pb.Candidate_LISTENER, pb.Candidate_LAN: // their port has no meaning
	default:
		return punch.Candidate{}, false
	}
	c.Kind = punch.Kind(p.GetKind())
	return c, ok
}

// writeMessage writes a message and its length at once. Each write may become a packet of its own
// on every hop, and the message waits for whichever is lost.
func writeMessage(w io.Writer, p *pb.Message) error {
	b, err := proto.Marshal(p)
	if err != nil {
		return err
	}
	return msgio.NewVarintWriter(w).WriteMsg(b)
}

// newReader returns a reader of messages for decodeMessage. It has no buffer but during a message:
// most of an attempt passes in silence, and pbio's buffer of 4 KiB would be a tenth of what it
// holds.
func newReader(r io.Reader) msgio.Reader { return msgio.NewVarintReaderSize(r, maxMessage) }

// decodeMessage returns the message that was read, or why there is none. Errors match
// [ErrMalformed], with a message that has the attempt if that could be read, or [ErrSignalLost].
func decodeMessage(b []byte, err error) (*message, error) {
	var p pb.Message
	if err == nil {
		err = proto.Unmarshal(b, &p)
	}
	switch {
	case err == nil:
		return unmarshal(&p)
	case errors.Is(err, msgio.ErrMsgTooLarge):
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxMessage)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, proto.Error), errors.Is(err, varint.ErrOverflow), errors.Is(err, varint.ErrNotMinimal):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrSignalLost, err)
	}
}

// Codes of the protocols of a multiaddr.
const (
	codeIP4 = 0x04
	codeIP6 = 0x29
	codeTCP = 0x06
)

// addrToBytes returns the binary multiaddr /ip4/A/tcp/P or /ip6/A/tcp/P.
func addrToBytes(a netip.AddrPort) []byte {
	code := byte(codeIP4)
	if a.Addr().Is6() {
		code = codeIP6
	}
	b := append([]byte{code}, a.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(append(b, codeTCP), a.Port())
}

// addrFromBytes reads what addrToBytes writes, and nothing that would have to be looked up.
func addrFromBytes(b []byte) (netip.AddrPort, bool) {
	n := len(b) - 4 // of the IP address
	ok := n == 4 && b[0] == codeIP4 || n == 16 && b[0] == codeIP6
	if !ok || b[1+n] != codeTCP {
		return netip.AddrPort{}, false
	}
	a, _ := netip.AddrFromSlice(b[1 : 1+n])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[2+n:])), true
}

// clip makes words fit the bound and be UTF-8, as protobuf wants it.
func clip(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.ToValidUTF8(s, "")
}

// The constants of pb have the values of package stun's: both are on the wire.

func behaviourToPB(b stun.Behaviour) *pb.Behaviour {
	if b == (stun.Behaviour{}) {
		return nil
	}
	return &pb.Behaviour{
		Mapping:     pb.Behaviour_Mapping(b.Mapping),
		Filtering:   pb.Behaviour_Filtering(b.Filtering),
		Ports:       pb.Behaviour_Ports(b.Ports),
		Step:        int32(b.Step),
		Unsolicited: pb.Behaviour_Unsolicited(b.Unsolicited),
		BareSyn:     pb.Behaviour_Fact(b.BareSYN),
		Hairpin:     pb.Behaviour_Fact(b.Hairpin),
		Persistent:  pb.Behaviour_Fact(b.Persistent),
		Egress:      pb.Behaviour_Fact(b.Egress),
	}
}

// behaviourFromPB takes a value that this version does not know for unknown.
func behaviourFromPB(p *pb.Behaviour) stun.Behaviour {
	return stun.Behaviour{
		Mapping:     known(p.GetMapping(), stun.APDM),
		Filtering:   known(p.GetFiltering(), stun.APDF),
		Ports:       known(p.GetPorts(), stun.Block),
		Step:        int(p.GetStep()),
		Unsolicited: known(p.GetUnsolicited(), stun.ICMP),
		BareSYN:     known(p.GetBareSyn(), stun.No),
		Hairpin:     known(p.GetHairpin(), stun.No),
		Persistent:  known(p.GetPersistent(), stun.No),
		Egress:      known(p.GetEgress(), stun.No),
	}
}

// known returns the number on the wire, or 0 if it is beyond the last that is known.
func known[T ~uint8, N ~int32](wire N, last T) T {
	if wire < 0 || wire > N(last) {
		return 0
	}
	return T(wire)
}
