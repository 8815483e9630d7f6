package holepunch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/libp2p/go-msgio"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

const (
	// maxMessage bounds one message, in bytes. Eight IPv6 candidates need
	// some 250.
	maxMessage = 4096

	// maxSecurity bounds how many security protocols are read, and maxProtocol the
	// length of each, in bytes; more are left out. Libp2p has two.
	maxSecurity = 8
	maxProtocol = 64

	// maxDetail bounds the words that go with a status, in bytes.
	maxDetail = 256
)

// An attemptID ties the messages of one attempt together, across streams.
type attemptID [16]byte

// A message is a pb.Message whose fields were found to be within bounds.
type message struct {
	typ     pb.Message_Type
	attempt attemptID
	terms   Terms
	round   int
	target  netip.AddrPort
	status  pb.Status
	detail  string
}

func (m *message) marshal() *pb.Message {
	p := &pb.Message{
		Type:      m.typ,
		Attempt:   m.attempt[:],
		Status:    m.status,
		Detail:    clip(m.detail),
		Behaviour: behaviourToPB(m.terms.Behaviour),
		Round:     uint32(m.round),
		Security:  m.terms.Security,
	}
	if m.terms.Guessing {
		p.Features = append(p.Features, pb.Feature_GUESSING)
	}
	if m.terms.Following {
		p.Features = append(p.Features, pb.Feature_FOLLOWING)
	}
	for _, c := range m.terms.Candidates {
		p.Candidates = append(p.Candidates, &pb.Candidate{Kind: c.Kind, Addr: toBytes(c.Addr), Local: uint32(c.Local)})
	}
	if m.target.IsValid() {
		p.Target = toBytes(m.target)
	}
	return p
}

// unmarshal checks bounds. Of a message beyond them it returns the attempt, for
// the refusal. What it does not know (kinds of candidate,
// addresses other than IP and TCP) it leaves out, so that a later version can
// add to it.
func unmarshal(p *pb.Message) (*message, error) {
	m := &message{typ: p.Type, status: p.Status, detail: clip(p.Detail)}
	if copy(m.attempt[:], p.Attempt) != len(m.attempt) || len(p.Attempt) != len(m.attempt) {
		return &message{}, fmt.Errorf("%w: attempt ID of %d bytes, want %d", ErrMalformed, len(p.Attempt), len(m.attempt))
	}
	if len(p.Candidates) > MaxCandidates {
		return m, fmt.Errorf("%w: %d candidates, at most %d are allowed", ErrMalformed, len(p.Candidates), MaxCandidates)
	}
	if p.Round > MaxRounds {
		return m, fmt.Errorf("%w: round %d, at most %d are allowed", ErrMalformed, p.Round, MaxRounds)
	}
	m.round = int(p.Round)
	m.terms.Behaviour = behaviourFromPB(p.Behaviour)
	m.terms.Guessing = slices.Contains(p.Features, pb.Feature_GUESSING)
	m.terms.Following = slices.Contains(p.Features, pb.Feature_FOLLOWING)
	for _, id := range p.Security {
		if len(id) > 0 && len(id) <= maxProtocol && len(m.terms.Security) < maxSecurity {
			m.terms.Security = append(m.terms.Security, id)
		}
	}
	for _, c := range p.Candidates {
		a, ok := fromBytes(c.GetAddr())
		local := c.GetLocal()
		if c.GetKind() != pb.Candidate_REFLEXIVE {
			local = 0 // it has no meaning there
		}
		if ok && c.Kind >= pb.Candidate_REFLEXIVE && c.Kind <= pb.Candidate_LAN && local < MaxLocals {
			m.terms.Candidates = append(m.terms.Candidates, Candidate{Kind: c.Kind, Addr: a, Local: int(local)})
		}
	}
	m.target, _ = fromBytes(p.Target)
	return m, nil
}

// newReader is for read. It has no buffer but during a message: most of an attempt
// passes in silence, and pbio's buffer of 4 KiB would be a tenth of what it holds.
func newReader(r io.Reader) msgio.Reader { return msgio.NewVarintReaderSize(r, maxMessage) }

// read takes the next message from r. Errors match [ErrMalformed] or
// [ErrSignalLost].
func read(r msgio.Reader) (*message, error) {
	var p pb.Message
	b, err := r.ReadMsg()
	defer r.ReleaseMsg(b)
	if err == nil {
		err = proto.Unmarshal(b, &p)
	}
	switch {
	case err == nil:
		return unmarshal(&p)
	case errors.Is(err, msgio.ErrMsgTooLarge):
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxMessage)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: truncated: %w", ErrMalformed, err)
	case errors.Is(err, proto.Error), errors.Is(err, varint.ErrOverflow), errors.Is(err, varint.ErrNotMinimal):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrSignalLost, err)
	}
}

func toBytes(a netip.AddrPort) []byte {
	family := "ip4"
	if a.Addr().Is6() {
		family = "ip6"
	}
	return ma.StringCast(fmt.Sprintf("/%s/%s/tcp/%d", family, a.Addr().WithZone(""), a.Port())).Bytes()
}

// fromBytes reads an address, and nothing that would have to be looked up.
func fromBytes(b []byte) (netip.AddrPort, bool) {
	m, err := ma.NewMultiaddrBytes(b)
	if err != nil || len(m) != 2 || m[1].Protocol().Code != ma.P_TCP {
		return netip.AddrPort{}, false
	}
	if code := m[0].Protocol().Code; code != ma.P_IP4 && code != ma.P_IP6 {
		return netip.AddrPort{}, false
	}
	a, ok := netip.AddrFromSlice(m[0].RawValue())
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(m[1].RawValue())), ok
}

// clip makes words fit the bound and be UTF-8, as protobuf wants it.
func clip(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.ToValidUTF8(s, "")
}
