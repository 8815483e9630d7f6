package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// golden is the hello of nonce 0, 1, 2, ... 15 that says "hi".
const golden = "clockpunch/1\n\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x02hi"

func TestHello(t *testing.T) {
	h, err := readHello(strings.NewReader(golden + "more"))
	if err != nil || h.text != "hi" || h.nonce[15] != 15 {
		t.Fatalf("got %+v, %v", h, err)
	}
	if got := h.append(nil); string(got) != golden {
		t.Errorf("encoded: %q", got)
	}
	for in, want := range map[string]error{
		"":                       io.EOF,
		"clock":                  io.EOF,
		"SSH-2.0":                errStranger,
		"clockpunch/2\n":         errStranger,
		golden[:20]:              io.ErrUnexpectedEOF,
		golden[:len(golden)-1]:   io.ErrUnexpectedEOF,
		"GET / HTTP/1.1\r\n\r\n": errStranger,
	} {
		if h, err := readHello(strings.NewReader(in)); !errors.Is(err, want) {
			t.Errorf("%q: got %+v, %v, want %v", in, h, err, want)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(golden[:30]))
	f.Add([]byte("SSH-2.0-nobody\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		h, err := readHello(r)
		if err != nil {
			return
		}
		used := in[:len(in)-r.Len()]
		if got := h.append(nil); !bytes.Equal(got, used) {
			t.Errorf("%q is encoded as %q", used, got)
		}
	})
}
