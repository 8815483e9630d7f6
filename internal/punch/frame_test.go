package punch

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// decodeAll feeds a decoder, chunk bytes at a time at most, and returns what it has found and what
// it has left.
func decodeAll(d *decoder, b []byte, chunk int) (found string, rest []byte, err error) {
	var all strings.Builder
	for len(b) > 0 && d.want() > 0 {
		n := min(d.want(), len(b), chunk)
		it, err := d.decode(b[:n])
		if err != nil {
			return all.String(), b, err
		}
		switch it {
		case itemToken:
			fmt.Fprintf(&all, "token %d,", d.token[0])
		case itemData:
			all.Write(b[:n])
		case itemMarker:
			all.WriteString(",marker")
		}
		b = b[n:]
	}
	return all.String(), b, nil
}

// decoderInputs are what comes in on a copy, and what a decoder finds.
var decoderInputs = map[string]struct {
	fromInitiator bool
	in            string
	want          string
	rest          string
	err           error
}{
	"nothing but a token":              {true, "", "token 0,", "", nil},
	"frames and a marker":              {true, "\x00\x00\x02ab\x00\x00\x01c\x01de", "token 0,abc,marker", "de", nil},
	"a marker at once":                 {true, "\x01\x01\x01", "token 0,,marker", "\x01\x01", nil},
	"the longest frame":                {true, "\x00\xff\xff" + strings.Repeat("z", maxFrameLen), "token 0," + strings.Repeat("z", maxFrameLen), "", nil},
	"the most there may be":            {true, string(appendFrames(nil, make([]byte, maxKept))) + "\x01", "token 0," + string(make([]byte, maxKept)) + ",marker", "", nil},
	"a frame that is cut off":          {true, "\x00\x00\x03ab", "token 0,ab", "", nil},
	"a header that is cut off":         {true, "\x00\x00", "token 0,", "", nil},
	"a frame of length 0":              {true, "\x00\x00\x00", "token 0,", "", ErrFrame},
	"a frame beyond what there may be": {true, "\x00\xff\xff" + strings.Repeat("z", maxFrameLen) + "\x00\x00\x02ab", "token 0," + strings.Repeat("z", maxFrameLen), "", ErrFrame},
	"another kind":                     {true, "\x02", "token 0,", "", ErrFrame},
	"a responder's stream":             {false, "\x01stream", "token 0,", "\x01stream", nil},
}

func TestDecoder(t *testing.T) {
	t.Parallel()
	for name, tc := range decoderInputs {
		for _, chunk := range []int{maxKept, 1} {
			d := &decoder{fromInitiator: tc.fromInitiator}
			found, rest, err := decodeAll(d, []byte(somePreamble+tc.in), chunk)
			if found != tc.want || !errors.Is(err, tc.err) || err == nil && string(rest) != tc.rest {
				t.Errorf("%s, in pieces of %d: got %.40q, %.40q, %v; want %.40q, %.40q, %v", name, chunk, found, rest, err, tc.want, tc.rest, tc.err)
			}
		}
	}
	for name, line := range malformedPreambles {
		if len(line) == preambleLen {
			if found, _, err := decodeAll(new(decoder), []byte(line), 1); found != "" || !errors.Is(err, ErrPreamble) {
				t.Errorf("%s: got %q, %v", name, found, err)
			}
		}
	}
}

// FuzzDecoder checks that what is found does not depend on how it is cut, and is within bounds.
func FuzzDecoder(f *testing.F) {
	for _, tc := range decoderInputs {
		if len(tc.in) < 1000 { // long ones make it slow
			f.Add([]byte(somePreamble+tc.in), tc.fromInitiator, uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, fromInitiator bool, chunk uint16) {
		d, e := decoder{fromInitiator: fromInitiator}, decoder{fromInitiator: fromInitiator}
		found, rest, err := decodeAll(&d, b, int(chunk)+1)
		found1, rest1, err1 := decodeAll(&e, b, 1)
		if found != found1 || fmt.Sprint(err) != fmt.Sprint(err1) {
			t.Fatalf("found %q, %v; byte by byte %q, %v", found, err, found1, err1)
		}
		if err == nil && !bytes.Equal(rest, rest1) {
			t.Fatalf("left %q; byte by byte %q", rest, rest1)
		}
		if err == nil && (d.framed > maxKept || d.left > d.framed || d.want() < 0) {
			t.Fatalf("want %d, framed %d, left %d", d.want(), d.framed, d.left)
		}
		if err != nil && !errors.Is(err, ErrFrame) && !errors.Is(err, ErrPreamble) {
			t.Fatal(err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("ab"), uint16(0))
	f.Add([]byte("c"), uint16(maxFrameLen))
	f.Fuzz(func(t *testing.T, b []byte, more uint16) {
		b = append(b, make([]byte, more)...)
		b = b[:min(len(b), maxKept)]
		d := &decoder{fromInitiator: true, state: atKind}
		found, rest, err := decodeAll(d, append(appendFrames(nil, b), kindMarker, kindMarker), maxKept)
		if found != string(b)+",marker" || string(rest) != string(kindMarker) || err != nil {
			t.Errorf("%d bytes: found %d, left %q, %v", len(b), len(found), rest, err)
		}
	})
}
