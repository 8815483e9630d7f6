package punch

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var someToken = Token{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}

const somePreamble = "simopen AAECAwQFBgcICQoLDA0O_w\n"

func TestPreamble(t *testing.T) {
	t.Parallel()
	if got := string(someToken.AppendPreamble([]byte("."))); got != "."+somePreamble {
		t.Errorf("got %q, want %q", got, "."+somePreamble)
	}
	if got, err := parsePreamble([]byte(somePreamble)); got != someToken || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if a, b := NewToken(), NewToken(); a == b || a == (Token{}) {
		t.Errorf("tokens are %v and %v", a, b)
	}
}

// malformedPreambles are lines that do not open a connection, with what is wrong.
var malformedPreambles = map[string]string{
	"empty":              "",
	"short":              somePreamble[:preambleLen-1],
	"long":               somePreamble + "\n",
	"another label":      "SIMOPEN " + somePreamble[8:],
	"no label":           "        " + somePreamble[8:],
	"no newline":         somePreamble[:preambleLen-1] + " ",
	"carriage return":    somePreamble[:preambleLen-2] + "\r\n",
	"a short token":      "simopen AAECAwQFBgcICQoLDA0O\n\n\n",
	"newlines within":    "simopen AAECAwQFBgcICQ\n\n\n\n\n\n\n\n\n",
	"padding":            "simopen AAECAwQFBgcICQoLDA0O==\n",
	"the other alphabet": "simopen AAECAwQFBgcICQoLDA0O/w\n",
	"bits to spare":      "simopen AAECAwQFBgcICQoLDA0O_x\n", // decodes to the same token
	"HTTP":               "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[:preambleLen],
	"zeros":              strings.Repeat("\x00", preambleLen),
}

func TestPreambleMalformed(t *testing.T) {
	t.Parallel()
	for name, line := range malformedPreambles {
		if got, err := parsePreamble([]byte(line)); !errors.Is(err, ErrPreamble) || got != (Token{}) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, ErrPreamble)
		}
	}
}

func FuzzParsePreamble(f *testing.F) {
	f.Add([]byte(somePreamble))
	for _, line := range malformedPreambles {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := parsePreamble(b)
		if ok := bytes.Equal(token.AppendPreamble(nil), b); ok != (err == nil) {
			t.Errorf("%q: got %v, %v", b, token, err)
		}
	})
}
