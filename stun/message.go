package stun

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	pion "github.com/pion/stun/v3"
)

const (
	headerSize  = 20         // RFC 8489 section 5
	magicCookie = 0x2112A442 // RFC 8489 section 5

	// maxMessage bounds a message with its header, in bytes. Binding requests and responses have
	// less than 200. The longest reason phrase (763 bytes, RFC 8489 section 14.8) with a SOFTWARE
	// (763 bytes, section 14.14) still fits.
	maxMessage = 2048
)

// readMessage reads one message into m from r, whose buffer must hold maxMessage. It looks at no
// more bytes than it needs to refuse what cannot be STUN, so that a client does not wait for the
// rest of another protocol's greeting.
//
// It returns ErrMalformed or ErrTooLong for a violation of the format, after which nothing more can
// be read from r. Otherwise it returns the error of the connection: io.EOF between messages,
// io.ErrUnexpectedEOF inside one.
func readMessage(r *bufio.Reader, m *pion.Message) error {
	peek := func(n int) ([]byte, error) {
		b, err := r.Peek(n)
		if errors.Is(err, io.EOF) && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return b, err
	}
	b, err := peek(1)
	if err != nil {
		return err
	}
	if b[0]&0xc0 != 0 {
		return fmt.Errorf("%w: first byte is 0x%02x", ErrMalformed, b[0])
	}
	if b, err = peek(4); err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length%4 != 0 {
		return fmt.Errorf("%w: length %d is no multiple of 4", ErrMalformed, length)
	}
	if headerSize+length > maxMessage {
		return fmt.Errorf("%w: %d bytes", ErrTooLong, headerSize+length)
	}
	if b, err = peek(8); err != nil {
		return err
	}
	if cookie := binary.BigEndian.Uint32(b[4:]); cookie != magicCookie {
		return fmt.Errorf("%w: magic cookie is 0x%08x", ErrMalformed, cookie)
	}
	if b, err = peek(headerSize + length); err != nil {
		return err
	}
	if err := pion.Decode(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	_, err = r.Discard(len(b))
	return err
}

// comprehended reports whether an agent of RFC 8489 must accept t: it is comprehension-optional, or
// defined in RFC 8489 itself (section 18.3). A known attribute that makes no sense where it stands
// is ignored (section 14).
func comprehended(t pion.AttrType) bool {
	switch t {
	case pion.AttrMappedAddress, pion.AttrXORMappedAddress,
		pion.AttrErrorCode, pion.AttrUnknownAttributes,
		pion.AttrUsername, pion.AttrUserhash, pion.AttrRealm, pion.AttrNonce,
		pion.AttrPasswordAlgorithm,
		pion.AttrMessageIntegrity, pion.AttrMessageIntegritySHA256:
		return true
	}
	return t.Optional()
}
