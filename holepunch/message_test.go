package holepunch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"

	"github.com/libp2p/go-msgio"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// The two sides of the tests.
var (
	ours   = description{candidates: reflexive(addrs("46.0.1.1:40000", "[2a00::1]:40000")...)}
	theirs = description{candidates: []punch.Candidate{
		{Kind: punch.Reflexive, Addr: netip.MustParseAddrPort("46.0.2.1:50000")},
		{Kind: punch.Reflexive, Addr: netip.MustParseAddrPort("46.0.2.1:50001"), Port: 1},
	}}
	testID       = attemptID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	offerToken   = punch.Token{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}
	answerToken  = punch.Token{32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47}
	testFlight   = []byte("the first flight")
	answerFlight = []byte("the second flight")
)

// vectors are messages by the name of their file in testdata.
func vectors() map[string]*message {
	return map[string]*message{
		"offer": {
			typ: pb.Message_OFFER, attempt: testID, description: ours, token: offerToken,
			protocols: []string{"/noise", "/tls/1.0.0"}, delay: 30 * time.Millisecond,
		},
		"answer": {
			typ: pb.Message_ANSWER, attempt: testID, description: theirs, token: answerToken,
			protocols: []string{"/noise"}, delay: 50 * time.Millisecond,
		},
		"other": {
			typ: pb.Message_ANSWER, attempt: testID, description: theirs, token: answerToken,
			protocols: []string{"/tls/1.0.0"},
		},
		"retry": {typ: pb.Message_RETRY, attempt: testID, round: 1, description: description{
			candidates: []punch.Candidate{
				{Kind: punch.Predicted, Addr: netip.MustParseAddrPort("46.0.1.1:50001")},
				{Kind: punch.Predicted, Addr: netip.MustParseAddrPort("46.0.1.1:50002")},
				{Kind: punch.Listener, Addr: netip.MustParseAddrPort("46.0.1.1:4001")},
			},
			behaviour: stun.Behaviour{
				Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: -2, Unsolicited: stun.RST,
				BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes,
			},
			guessing: true,
		}},
		"retried": {typ: pb.Message_ANSWER, attempt: testID, round: 1, description: theirs},
		"following": {
			typ: pb.Message_OFFER, attempt: testID, token: offerToken,
			description: description{candidates: reflexive(addrs("46.0.1.1:40000")...), following: true},
		},
		"candidates": {typ: pb.Message_CANDIDATES, attempt: testID, description: description{candidates: []punch.Candidate{
			{Kind: punch.LAN, Addr: netip.MustParseAddrPort("192.168.1.2:40000")},
		}}},
		"impossible": {typ: pb.Message_ANSWER, attempt: testID, status: StatusImpossible, description: description{
			behaviour: stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random},
		}},
		"refusal":     {typ: pb.Message_ANSWER, attempt: testID, status: StatusNoAddress, detail: "no reflexive address"},
		"declined":    {typ: pb.Message_ANSWER, attempt: testID, status: StatusDeclined},
		"no_protocol": {typ: pb.Message_ANSWER, attempt: testID, status: StatusNoProtocol, detail: "no handshake protocol in common"},
		"cross":       {typ: pb.Message_CROSS, attempt: testID, delay: 30 * time.Millisecond},
		"flight":      {typ: pb.Message_FLIGHT, attempt: testID, flight: testFlight},
		"empty":       {typ: pb.Message_FLIGHT, attempt: testID},
		"trailer":     {typ: pb.Message_TRAILER, attempt: testID},
		"done":        {typ: pb.Message_DONE, attempt: testID},
	}
}

// TestWire pins the bytes of the protocol.
func TestWire(t *testing.T) {
	for name, m := range vectors() {
		t.Run(name, func(t *testing.T) {
			want := vector(t, name)
			if got := framed(t, m.marshal()); !bytes.Equal(got, want) {
				t.Errorf("written\n%x, want\n%x", got, want)
			}
			got, err := readMessage(newReader(bytes.NewReader(want)))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, m) {
				t.Errorf("read %+v, want %+v", got, m)
			}
		})
	}
}

// vector returns the bytes of testdata/NAME.hex.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed returns the bytes of a message on the stream.
func framed(t testing.TB, p *pb.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeMessage(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw frames what a hostile peer may send.
func raw(b []byte) []byte { return append(varint.ToUvarint(uint64(len(b))), b...) }

// changed returns a vector's bytes with a change.
func changed(t testing.TB, name string, change func(*pb.Message)) []byte {
	p := vectors()[name].marshal()
	change(p)
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw(b)
}

// TestLaterVersion: what a later version adds to a message is left out.
func TestLaterVersion(t *testing.T) {
	want, err := readMessage(newReader(bytes.NewReader(vector(t, "offer"))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readMessage(newReader(bytes.NewReader(vector(t, "later"))))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

// badMessages are changes that make an OFFER malformed, and badAnswers those of an ANSWER.
var badMessages = map[string]func(*pb.Message){
	"nine candidates": func(m *pb.Message) {
		m.Candidates = slices.Repeat(m.Candidates[:1], punch.MaxCandidates+1)
	},
	"no attempt":         func(m *pb.Message) { m.Attempt = nil },
	"a long attempt":     func(m *pb.Message) { m.Attempt = make([]byte, 17) },
	"no token":           func(m *pb.Message) { m.Token = nil },
	"a short token":      func(m *pb.Message) { m.Token = m.Token[1:] },
	"a long token":       func(m *pb.Message) { m.Token = append(m.Token, 0) },
	"nine protocols":     func(m *pb.Message) { m.Protocols = slices.Repeat([]string{"/noise"}, maxProtocols+1) },
	"a long protocol":    func(m *pb.Message) { m.Protocols = []string{strings.Repeat("x", maxProtocol+1)} },
	"a protocol of none": func(m *pb.Message) { m.Protocols = []string{""} },
}

func TestMalformed(t *testing.T) {
	for name, change := range badMessages {
		for _, kind := range []string{"offer", "answer"} {
			t.Run(kind+" with "+name, func(t *testing.T) {
				m, err := readMessage(newReader(bytes.NewReader(changed(t, kind, change))))
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("got %+v, %v, want ErrMalformed", m, err)
				}
				if !strings.Contains(name, "attempt") && m.attempt != testID {
					t.Errorf("of the attempt %x, want %x, for the refusal", m.attempt, testID)
				}
			})
		}
	}
	long := changed(t, "flight", func(m *pb.Message) { m.Flight = make([]byte, maxFlight+1) })
	if m, err := readMessage(newReader(bytes.NewReader(long))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a long flight: got %+v, %v, want ErrMalformed", m, err)
	}
	// Messages with which no attempt begins need none of it.
	for _, name := range []string{"done", "refusal", "retried", "retry", "cross"} {
		b := changed(t, name, func(m *pb.Message) { m.Token, m.Flight = []byte{1}, make([]byte, maxFlight+1) })
		if m, err := readMessage(newReader(bytes.NewReader(b))); err != nil || m.token != (punch.Token{}) || m.flight != nil {
			t.Errorf("%s: read %+v, %v, want neither token nor flight", name, m, err)
		}
	}
}

// TestStatusOfOthers: only ANSWER and DONE have a status.
func TestStatusOfOthers(t *testing.T) {
	for _, name := range []string{"offer", "retry", "candidates", "cross", "flight", "trailer"} {
		b := changed(t, name, func(m *pb.Message) { m.Status, m.Detail = pb.Status_MALFORMED, "no" })
		if m, err := readMessage(newReader(bytes.NewReader(b))); err != nil || m.status != StatusOK || m.detail != "" {
			t.Errorf("%s: read %+v, %v, want no status", name, m, err)
		}
	}
}

// TestLargestMessage: all that the bounds allow is within that of the message.
func TestLargestMessage(t *testing.T) {
	long := netip.MustParseAddrPort("[2a00:1111:2222:3333:4444:5555:6666:7777]:65535")
	m := &message{
		typ: pb.Message_OFFER, attempt: testID, token: offerToken, detail: strings.Repeat("d", maxDetail), round: maxRounds,
		protocols: slices.Repeat([]string{strings.Repeat("p", maxProtocol)}, maxProtocols),
		description: description{
			candidates: slices.Repeat([]punch.Candidate{{Kind: punch.Reflexive, Addr: long, Port: 1}}, punch.MaxCandidates),
			behaviour:  stun.Behaviour{Mapping: 3, Filtering: 3, Ports: 3, Step: -60000, Unsolicited: 3, BareSYN: 2, Hairpin: 2, Persistent: 2, Egress: 2},
			guessing:   true, following: true,
		},
	}
	for _, m := range []*message{m, {typ: pb.Message_FLIGHT, attempt: testID, flight: make([]byte, maxFlight)}} {
		if _, err := readMessage(newReader(bytes.NewReader(framed(t, m.marshal())))); err != nil {
			t.Error(err)
		}
	}
}

// A value of a behaviour that a later version knows is unknown here.
func TestBehaviourOfALaterVersion(t *testing.T) {
	got := behaviourFromPB(&pb.Behaviour{Mapping: 9, Filtering: 9, Ports: 9, Unsolicited: -1, BareSyn: 7, Egress: 3, Hairpin: pb.Behaviour_NO})
	if want := (stun.Behaviour{Hairpin: stun.No}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A candidate that is no reflexive address leads to the first port, whatever the peer says.
func TestOnlyReflexiveCandidatesHaveASecondPort(t *testing.T) {
	addr := addrToBytes(netip.MustParseAddrPort("46.0.1.1:40000"))
	p := &pb.Message{Attempt: make([]byte, len(attemptID{})), Candidates: []*pb.Candidate{
		{Kind: pb.Candidate_REFLEXIVE, Addr: addr, Port: 1},
		{Kind: pb.Candidate_REFLEXIVE, Addr: addr, Port: 2}, // of a later version
		{Kind: pb.Candidate_PREDICTED, Addr: addr, Port: 2},
		{Kind: pb.Candidate_LISTENER, Addr: addr, Port: 1},
		{Kind: pb.Candidate_LAN, Addr: addr, Port: 1<<32 - 1},
	}}
	m, err := unmarshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var ports []int
	for _, c := range m.candidates {
		ports = append(ports, c.Port)
	}
	if want := []int{1, 0, 0, 0}; !slices.Equal(ports, want) {
		t.Errorf("got %v, want %v", ports, want)
	}
}

func FuzzRead(f *testing.F) {
	for name := range vectors() {
		f.Add(vector(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(newReader(bytes.NewReader(b)))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignalLost) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(m.candidates) > punch.MaxCandidates || len(m.protocols) > maxProtocols || len(m.flight) > maxFlight ||
			m.round > maxRounds || len(m.detail) > maxDetail {
			t.Fatalf("beyond bounds: %+v", m)
		}
		admissible(ours.candidates, m.candidates, nil)
		again, err := readMessage(newReader(bytes.NewReader(framed(t, m.marshal()))))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("read %+v, written and read again %+v, %v", m, again, err)
		}
	})
}

// readMessage takes the next message from r.
func readMessage(r msgio.Reader) (*message, error) {
	b, err := r.ReadMsg()
	defer r.ReleaseMsg(b)
	return decodeMessage(b, err)
}
