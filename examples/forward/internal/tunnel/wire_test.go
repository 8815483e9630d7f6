package tunnel

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// The bytes on the wire, which programs of other versions read.
func TestWire(t *testing.T) {
	var b bytes.Buffer
	for _, err := range []error{
		writeRequest(&b, "ssh"), writeRequest(&b, ""),
		writeAnswer(&b, StatusOpen, ""), writeAnswer(&b, StatusNoService, "web"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := "\x03ssh\x00" + "\x00\x00" + "\x03\x03web"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	for _, want := range []string{"ssh", ""} {
		if got, err := readRequest(&b); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := readAnswer(&b); err != nil {
		t.Error(err)
	}
	var r *Refusal
	if err := readAnswer(&b); !errors.As(err, &r) || *r != (Refusal{StatusNoService, "web"}) {
		t.Errorf("got %v", err)
	}
	if err := readAnswer(&b); err != io.EOF {
		t.Errorf("got %v at the end", err)
	}
}

func TestLongDetailIsCut(t *testing.T) {
	var b bytes.Buffer
	if err := writeAnswer(&b, StatusRefused, strings.Repeat("x", 1000)); err != nil {
		t.Fatal(err)
	}
	var r *Refusal
	if err := readAnswer(&b); !errors.As(err, &r) || len(r.Detail) != maxText || b.Len() != 0 {
		t.Errorf("%v; left over: %d bytes", err, b.Len())
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("\x03ssh and more"))
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		service, err := readRequest(r)
		if err != nil {
			return
		}
		if used := len(data) - r.Len(); used != 1+len(service) {
			t.Errorf("%q took %d bytes", service, used)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00and more"))
	f.Add([]byte("\x01\x02no"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		err := readAnswer(r)
		refusal, refused := errors.AsType[*Refusal](err)
		switch {
		case err == nil && (data[0] != 0 || len(data)-r.Len() != 2+int(data[1])):
			t.Errorf("open after %q", data)
		case refused && (refusal.Status == StatusOpen || len(data)-r.Len() != 2+len(refusal.Detail)):
			t.Errorf("refused with %+v after %q", refusal, data)
		}
	})
}
