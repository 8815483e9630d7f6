package stun

import (
	"bufio"
	"bytes"
	"net/netip"
	"slices"
	"testing"

	pion "github.com/pion/stun/v3"
)

// The sample requests of RFC 5769 sections 2.1 (with ICE attributes) and 2.4.
const (
	rfc5769Request = "\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x10STUN test client" +
		"\x00\x24\x00\x04\x6e\x00\x01\xff" +
		"\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36" +
		"\x00\x06\x00\x09evtj:h6vY\x20\x20\x20" +
		"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2" +
		"\x80\x28\x00\x04\xe5\x7a\x3b\xcf"
	rfc5769LongTerm = "\x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e" +
		"\x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00" +
		"\x00\x15\x00\x1cf//499k954d6OL34oL9FSTvy64sA" +
		"\x00\x14\x00\x0bexample.org\x00" +
		"\x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66"
)

var testClient = netip.MustParseAddrPort("192.0.2.1:32853")

// respondTo returns the response to a request from client, decoded, or nil.
func respondTo(t *testing.T, client netip.AddrPort, req []byte) *pion.Message {
	t.Helper()
	var r responder
	r.setClient(client, netip.AddrPort{})
	if err := pion.Decode(req, &r.req); err != nil {
		t.Fatal(err)
	}
	b := r.respond(nil)
	if b == nil {
		return nil
	}
	resp := new(pion.Message)
	if err := readMessage(bufio.NewReaderSize(bytes.NewReader(b), maxMessage), resp); err != nil {
		t.Fatal(err)
	}
	if resp.TransactionID != r.req.TransactionID {
		t.Errorf("transaction %x instead of %x", resp.TransactionID, r.req.TransactionID)
	}
	if got, _ := resp.Get(pion.AttrSoftware); string(got) != "simopen" {
		t.Errorf("SOFTWARE is %q", got)
	}
	return resp
}

func TestRespondSuccess(t *testing.T) {
	for _, client := range []string{"192.0.2.1:32853", "[2001:db8::1]:1", "127.0.0.1:65535"} {
		for name, req := range map[string][]byte{
			"plain":             pion.MustBuild(pion.TransactionID, pion.BindingRequest).Raw,
			"FINGERPRINT":       pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.Fingerprint).Raw,
			"RFC 5769, 2.4":     []byte(rfc5769LongTerm),
			"optional unknowns": pion.MustBuild(pion.TransactionID, pion.BindingRequest, raw(0xc001, 1), raw(0x8fff)).Raw,
			"out of place":      pion.MustBuild(pion.TransactionID, pion.BindingRequest, xorAddr("10.0.0.1", 1)).Raw,
		} {
			t.Run(client+" "+name, func(t *testing.T) {
				want := netip.MustParseAddrPort(client)
				resp := respondTo(t, want, req)
				if resp == nil {
					t.Fatal("no response")
				}
				if got, err := decodeResponse(resp); err != nil || got.mapped != want {
					t.Errorf("got %v, %v, want %v", got, err, want)
				}
				if got, want := resp.Contains(pion.AttrFingerprint), name == "FINGERPRINT"; got != want {
					t.Errorf("FINGERPRINT: %v, want %v", got, want)
				}
			})
		}
	}
}

func TestRespondUnknownAttributes(t *testing.T) {
	many := make([]pion.AttrType, (maxMessage-headerSize)/4)
	setters := []pion.Setter{pion.TransactionID, pion.BindingRequest}
	for i := range many {
		many[i] = 0x7000 + pion.AttrType(i)
		setters = append(setters, raw(many[i]))
	}
	for name, tt := range map[string]struct {
		req  []byte
		want []pion.AttrType
	}{
		"one":           {pion.MustBuild(pion.TransactionID, pion.BindingRequest, raw(0x7001)).Raw, []pion.AttrType{0x7001}},
		"RFC 5769, 2.1": {[]byte(rfc5769Request), []pion.AttrType{pion.AttrPriority}},
		"RFC 5780": {pion.MustBuild(pion.TransactionID, pion.BindingRequest,
			raw(pion.AttrChangeRequest, 0, 0, 0, 6), pion.Fingerprint).Raw, []pion.AttrType{pion.AttrChangeRequest}},
		"as many as fit": {pion.MustBuild(setters...).Raw, many},
	} {
		t.Run(name, func(t *testing.T) {
			resp := respondTo(t, testClient, tt.req)
			if resp == nil || resp.Type != pion.BindingError {
				t.Fatalf("response is %v", resp)
			}
			var code pion.ErrorCodeAttribute
			if err := code.GetFrom(resp); err != nil || code.Code != pion.CodeUnknownAttribute {
				t.Errorf("code %v, %v", code, err)
			}
			var got pion.UnknownAttributes
			if err := got.GetFrom(resp); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("unknown attributes are %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestRespondNothing(t *testing.T) {
	for name, setters := range map[string][]pion.Setter{
		"indication":           {pion.NewType(pion.MethodBinding, pion.ClassIndication)},
		"indication, unknown":  {pion.NewType(pion.MethodBinding, pion.ClassIndication), raw(0x7001)},
		"success response":     {pion.BindingSuccess, xorAddr("10.0.0.1", 1)},
		"error response":       {pion.BindingError, pion.CodeBadRequest},
		"Allocate":             {pion.NewType(pion.MethodAllocate, pion.ClassRequest)},
		"Connect":              {pion.NewType(pion.MethodConnect, pion.ClassRequest), raw(0x7001)},
		"method 0":             {pion.NewType(0, pion.ClassRequest)},
		"wrong FINGERPRINT":    {pion.BindingRequest, raw(pion.AttrFingerprint, 1, 2, 3, 4)},
		"FINGERPRINT not last": {pion.BindingRequest, pion.Fingerprint, pion.Software("x")},
		"short FINGERPRINT":    {pion.BindingRequest, raw(pion.AttrFingerprint, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			req := pion.MustBuild(append([]pion.Setter{pion.TransactionID}, setters...)...).Raw
			if resp := respondTo(t, testClient, req); resp != nil {
				t.Errorf("response is %v", resp)
			}
		})
	}
}

func TestRespondAllocates(t *testing.T) {
	for name, setters := range map[string][]pion.Setter{
		"success": {pion.TransactionID, pion.BindingRequest, pion.Fingerprint},
		"refusal": {pion.TransactionID, pion.BindingRequest, raw(0x7001), pion.Fingerprint},
	} {
		var r responder
		r.setClient(testClient, netip.AddrPort{})
		r.req = *pion.MustBuild(setters...)
		// One, for the value of the FINGERPRINT, or of the ERROR-CODE.
		if got := testing.AllocsPerRun(100, func() { r.respond(nil) }); got > 1 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// FuzzRequest looks for a request that panics or whose response a client would refuse.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(rfc5769Request))
	f.Add([]byte(rfc5769LongTerm))
	f.Add(pion.MustBuild(pion.BindingRequest, pion.Fingerprint).Raw)
	f.Add(pion.MustBuild(pion.NewType(pion.MethodBinding, pion.ClassIndication)).Raw)
	f.Fuzz(func(t *testing.T, in []byte) {
		var r responder
		r.setClient(testClient, netip.AddrPort{})
		stream := bufio.NewReaderSize(bytes.NewReader(in), maxMessage)
		resp := new(pion.Message)
		for readMessage(stream, &r.req) == nil {
			var asked *connectBack
			b := r.respond(func(b connectBack) connectBack {
				asked = &b
				b.outcome = noAnswer
				return b
			})
			if b == nil {
				continue
			}
			if err := readMessage(bufio.NewReaderSize(bytes.NewReader(b), maxMessage), resp); err != nil {
				t.Fatalf("response %x: %v", b, err)
			}
			if resp.TransactionID != r.req.TransactionID {
				t.Fatal("response to another transaction")
			}
			a, err := decodeResponse(resp)
			if resp.Type == pion.BindingSuccess && (err != nil || a.mapped != testClient) {
				t.Fatalf("response %x: %+v, %v", b, a, err)
			}
			if done := a.back; (done != nil) != (asked != nil) || done != nil && (done.from != asked.from || done.outcome != noAnswer) {
				t.Fatalf("CONNECT-BACK: asked %v, done %v", asked, done)
			}
		}
	})
}
