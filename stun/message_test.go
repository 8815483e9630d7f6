package stun

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	pion "github.com/pion/stun/v3"
)

// frame is a header with the given first bytes, and length bytes after it.
func frame(typ, length uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, typ)
	b = binary.BigEndian.AppendUint16(b, length)
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	return append(b, make([]byte, pion.TransactionIDSize+int(length))...)
}

func TestReadMessageRefuses(t *testing.T) {
	// Each input is a prefix, followed by silence: the error must come from the bytes that are
	// there.
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"HTTP", "H", ErrMalformed},
		{"SSH", "S", ErrMalformed},
		{"ChannelData", "\x40", ErrMalformed},
		{"0xff", "\xff", ErrMalformed},
		{"TLS", "\x16\x03\x01\x02", ErrMalformed},
		{"multistream", "\x13/mu", ErrMalformed},
		{"length", "\x01\x01\x00\x03", ErrMalformed},
		{"too long", "\x01\x01\x07\xf0", ErrTooLong},
		{"much too long", "\x01\x01\xff\xfc", ErrTooLong},
		{"cookie", "\x01\x01\x00\x04\x21\x12\xa4\x43", ErrMalformed},
		{"attribute past the end", string(frame(0x0101, 0)[:2]) + "\x00\x04" + string(frame(0x0101, 0)[4:]) + "\x00\x20\x00\x08", ErrMalformed},
		{"EOF", "", io.EOF},
		{"EOF after a byte", "\x00", io.ErrUnexpectedEOF},
		{"EOF in the header", "\x00\x01\x00\x00\x21\x12\xa4\x42", io.ErrUnexpectedEOF},
		{"EOF in an attribute", string(frame(0x0001, 8)[:24]), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rest io.Reader = silence{t}
			if tt.want == io.EOF || tt.want == io.ErrUnexpectedEOF {
				rest = strings.NewReader("")
			}
			r := bufio.NewReaderSize(io.MultiReader(strings.NewReader(tt.in), rest), maxMessage)
			err := readMessage(r, new(pion.Message))
			if !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
			if tt.want == io.ErrUnexpectedEOF && err == io.EOF {
				t.Error("a message cut off looks like an orderly end")
			}
		})
	}
}

// silence is a connection on which nothing comes any more.
type silence struct{ t *testing.T }

func (s silence) Read([]byte) (int, error) {
	s.t.Error("waited for more")
	return 0, io.ErrNoProgress
}

func TestReadMessageSegments(t *testing.T) {
	longest := frame(0x0101, maxMessage-headerSize)
	binary.BigEndian.PutUint16(longest[headerSize:], 0x8022)
	binary.BigEndian.PutUint16(longest[headerSize+2:], maxMessage-headerSize-4)
	messages := [][]byte{
		frame(0x0001, 0),
		longest,
		pion.MustBuild(pion.BindingRequest, pion.Software("x"), pion.Fingerprint).Raw,
		frame(0x0111, 0),
	}
	stream := bytes.Join(messages, nil)
	for name, in := range map[string]io.Reader{
		"whole":    bytes.NewReader(stream),
		"bytes":    iotest.OneByteReader(bytes.NewReader(stream)),
		"halves":   iotest.HalfReader(bytes.NewReader(stream)),
		"late EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReaderSize(in, maxMessage)
			m := new(pion.Message)
			for i, want := range messages {
				if err := readMessage(r, m); err != nil || !bytes.Equal(m.Raw, want) {
					t.Fatalf("message %d: %x, %v, want %x", i, m.Raw, err, want)
				}
			}
			if err := readMessage(r, m); err != io.EOF {
				t.Errorf("at the end: %v, want io.EOF", err)
			}
		})
	}
}

// segments is a stream that arrives in pieces, the lengths of which repeat.
type segments struct {
	rest    []byte
	lengths []byte
	n       int
}

func (s *segments) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	length := len(s.rest)
	if len(s.lengths) > 0 {
		length = min(length, 1+int(s.lengths[s.n%len(s.lengths)]))
		s.n++
	}
	n := copy(b, s.rest[:length])
	s.rest = s.rest[n:]
	return n, nil
}

// FuzzStream looks for a stream of which other messages are read when it arrives in other pieces.
func FuzzStream(f *testing.F) {
	binding := pion.MustBuild(pion.BindingRequest, pion.Fingerprint).Raw
	f.Add(append(binding[:len(binding):len(binding)], binding...), []byte{0})
	f.Add(frame(0x0101, maxMessage-headerSize), []byte{19, 1, 255})
	f.Fuzz(func(t *testing.T, in, lengths []byte) {
		read := func(stream io.Reader) (messages [][]byte, end error) {
			r, m := bufio.NewReaderSize(stream, maxMessage), new(pion.Message)
			for {
				if end = readMessage(r, m); end != nil {
					return messages, end
				}
				messages = append(messages, bytes.Clone(m.Raw))
			}
		}
		whole, wholeEnd := read(&segments{rest: in})
		parts, partsEnd := read(&segments{rest: in, lengths: lengths})
		if !slices.EqualFunc(whole, parts, bytes.Equal) || wholeEnd.Error() != partsEnd.Error() {
			t.Fatalf("whole: %x, %v\nin parts: %x, %v", whole, wholeEnd, parts, partsEnd)
		}
		if all := bytes.Join(whole, nil); !bytes.HasPrefix(in, all) || wholeEnd == io.EOF && len(all) < len(in) {
			t.Fatalf("read %x, %v", all, wholeEnd)
		}
	})
}
