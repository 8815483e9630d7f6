package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// magic begins a hello. It distinguishes this program from whatever else may be at an address.
	magic = "clockpunch/1\n"

	// nonceSize makes nonces that two peers never share by chance.
	nonceSize = 16

	// maxText is the most that the byte for its length can say.
	maxText = 255
)

var (
	// errStranger: the other end is some other program.
	errStranger = errors.New("the other end does not speak " + magic[:len(magic)-1])

	// errSelf: the connection leads to where it comes from.
	errSelf = errors.New("the other end is this very program")
)

// A hello is the first that each end of a connection says:
//
//	"clockpunch/1\n"  nonce, 16 bytes  length, 1 byte  text
//
// Nothing in it is proven. Programs that need to know whom the connection leads to put a security
// handshake on it, as package transport does.
type hello struct {
	nonce [nonceSize]byte // of the process
	text  string          // at most maxText bytes, of any value
}

// append appends the encoding of h to b.
func (h *hello) append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, h.nonce[:]...)
	b = append(b, byte(len(h.text)))
	return append(b, h.text...)
}

// readHello reads no byte beyond the hello. The error is [errStranger] as soon
// as it is certain.
func readHello(r io.Reader) (hello, error) {
	var h hello
	// A byte at a time, lest an end that says something shorter, and waits,
	// is waited for.
	var head [len(magic)]byte
	for i := range head {
		if _, err := io.ReadFull(r, head[i:i+1]); err != nil {
			return hello{}, fmt.Errorf("no hello: %w", err)
		}
		if head[i] != magic[i] {
			return hello{}, errStranger
		}
	}
	var rest [nonceSize + 1]byte
	if _, err := io.ReadFull(r, rest[:]); err != nil {
		return hello{}, fmt.Errorf("half a hello: %w", err)
	}
	copy(h.nonce[:], rest[:])
	text := make([]byte, rest[nonceSize])
	if _, err := io.ReadFull(r, text); err != nil {
		return hello{}, fmt.Errorf("half a hello: %w", err)
	}
	h.text = string(text)
	return h, nil
}

// leads reports whether the peer that says h decides on the connection.
func (h *hello) leads(other hello) bool { return bytes.Compare(h.nonce[:], other.nonce[:]) > 0 }
