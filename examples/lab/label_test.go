package main

import (
	"bytes"
	"testing"
)

func TestLabelled(t *testing.T) {
	var b bytes.Buffer
	l := newLabelled(&b, "bob")
	for _, s := range []string{"o", "ne\ntwo\n", "\n", "three"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("%q: wrote %d, %v", s, n, err)
		}
	}
	if err := l.flush(); err != nil {
		t.Error(err)
	}
	const want = "bob    one\nbob    two\nbob\nbob    three\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestLabelledEndless: what has no end of line is not kept for ever.
func TestLabelledEndless(t *testing.T) {
	var b bytes.Buffer
	l := newLabelled(&b, "bob")
	for range 5 {
		if _, err := l.Write(make([]byte, maxLine/2)); err != nil {
			t.Fatal(err)
		}
	}
	if got := bytes.Count(b.Bytes(), []byte("\n")); got != 2 || len(l.rest) != maxLine/2 {
		t.Errorf("%d lines written, and %d bytes left", got, len(l.rest))
	}
}
