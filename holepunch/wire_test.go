package holepunch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/libp2p/go-msgio/pbio"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
	"google.golang.org/protobuf/proto"
)

// TestWire pins the bytes of the protocol.
func TestWire(t *testing.T) {
	id := attemptID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for name, m := range map[string]*message{
		"offer":  {typ: pb.Message_OFFER, attempt: id, terms: ours, target: netip.MustParseAddrPort("46.0.2.1:4001")},
		"answer": {typ: pb.Message_ANSWER, attempt: id, terms: theirs},
		"retry": {typ: pb.Message_RETRY, attempt: id, round: 1, terms: Terms{
			Candidates: []Candidate{
				{Kind: pb.Candidate_PREDICTED, Addr: netip.MustParseAddrPort("46.0.1.1:50001")},
				{Kind: pb.Candidate_PREDICTED, Addr: netip.MustParseAddrPort("46.0.1.1:50002")},
				{Kind: pb.Candidate_LISTENER, Addr: netip.MustParseAddrPort("46.0.1.1:4001")},
			},
			Behaviour: stun.Behaviour{
				Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: -2, Unsolicited: stun.RST,
				BareSYN: stun.Yes, Hairpin: stun.No, Persistent: stun.Yes,
			},
			Guessing: true,
		}},
		"following": {typ: pb.Message_OFFER, attempt: id, terms: Terms{Candidates: Reflexive(addrs("46.0.1.1:40000")...), Following: true}},
		"candidates": {typ: pb.Message_CANDIDATES, attempt: id, terms: Terms{Candidates: []Candidate{
			{Kind: pb.Candidate_LAN, Addr: netip.MustParseAddrPort("192.168.1.2:40000")},
		}}},
		"impossible": {typ: pb.Message_ANSWER, attempt: id, status: pb.Status_IMPOSSIBLE, terms: Terms{
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random},
		}},
		"refusal":  {typ: pb.Message_ANSWER, attempt: id, status: pb.Status_NO_ADDRESS, detail: "no STUN server answered"},
		"declined": {typ: pb.Message_ANSWER, attempt: id, status: pb.Status_DECLINED},
		"cross":    {typ: pb.Message_CROSS, attempt: id},
		"done":     {typ: pb.Message_DONE, attempt: id},
		"request":  {typ: pb.Message_REQUEST, attempt: id},
	} {
		t.Run(name, func(t *testing.T) {
			want := vector(t, name)
			var b bytes.Buffer
			if err := pbio.NewDelimitedWriter(&b).WriteMsg(m.marshal()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("written\n%x, want\n%x", b.Bytes(), want)
			}
			got, err := read(newReader(bytes.NewReader(want)))
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

// TestLaterVersion: what a later version adds to a message is left out.
func TestLaterVersion(t *testing.T) {
	want, err := read(newReader(bytes.NewReader(vector(t, "offer"))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(newReader(bytes.NewReader(vector(t, "later"))))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(raw(offerBytes(f, func(*pb.Message) {})))
	f.Add(raw(offerBytes(f, func(m *pb.Message) { m.Detail = "why"; m.Target = []byte{4, 1} })))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := read(newReader(bytes.NewReader(b)))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignalLost) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(m.terms.Candidates) > MaxCandidates || len(m.terms.Security) > maxSecurity || m.round > MaxRounds || len(m.detail) > maxDetail {
			t.Fatalf("beyond bounds: %+v", m)
		}
		Admissible(ours.Candidates, m.terms.Candidates, nil)
		if _, err := proto.Marshal(m.marshal()); err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
	})
}
