package punch

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// A Token identifies the attempt that a TCP connection belongs to. Each side gives the other one
// in the signalling, which is encrypted end to end, so that only the peer can present it.
type Token [16]byte

// NewToken returns a random token.
func NewToken() Token {
	var t Token
	rand.Read(t[:])
	return t
}

// preambleLabel is what every preamble begins with. A capture explains itself by it, and a
// firewall that blocks connections which begin with random bytes lets it pass.
const preambleLabel = "simopen "

// preambleLen is the length of a preamble in bytes: "simopen ", 22 characters and a newline.
const preambleLen = len(preambleLabel) + 22 + 1

// AppendPreamble appends the line with which a connection to the owner of the token opens.
func (t Token) AppendPreamble(b []byte) []byte {
	b = append(b, preambleLabel...)
	b = base64.RawURLEncoding.AppendEncode(b, t[:])
	return append(b, '\n')
}

// parsePreamble returns the token of a line of preambleLen bytes. The error matches [ErrPreamble].
func parsePreamble(b []byte) (Token, error) {
	var t Token
	if len(b) != preambleLen {
		return t, fmt.Errorf("%d bytes: %w", len(b), ErrPreamble)
	}
	// Decode accepts more than one encoding of a token, and newlines in it. Only the one that
	// AppendPreamble makes is right.
	base64.RawURLEncoding.Decode(t[:], b[len(preambleLabel):preambleLen-1])
	if !bytes.Equal(t.AppendPreamble(nil), b) {
		return Token{}, fmt.Errorf("%q: %w", b, ErrPreamble)
	}
	return t, nil
}
