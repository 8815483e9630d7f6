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
