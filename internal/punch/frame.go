package punch

import (
	"encoding/binary"
	"fmt"
)

// The bytes that say what follows on a copy of the initiator's stream: a frame, or, on one copy,
// the marker, after which the stream continues unframed.
const (
	kindFrame  byte = 0
	kindMarker byte = 1
)

// maxFrameLen is the longest a frame can be, by its two bytes of length. Length 0 is malformed.
const maxFrameLen = 1<<16 - 1

// maxKept is how much of a stream each side keeps, and so sends, before the choice: all of a
// security handshake, of which the largest flight measured, TLS with its certificate, has 2 kB. It
// bounds the memory that a peer can make a responder spend: more in frames is malformed.
const maxKept = 64 << 10

// appendFrames appends data in frames.
func appendFrames(b, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), maxFrameLen)
		b = append(b, kindFrame)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, data[:n]...)
		data = data[n:]
	}
	return b
}

// A decoder reads what comes in on a copy, up to the stream: that of a responder follows its token,
// and that of an initiator its marker.
type decoder struct {
	fromInitiator bool
	state         decoderState
	buf           [preambleLen]byte // what was read of a preamble or a length
	n             int               // how much that is
	left          int               // of a frame: what was not read yet
	framed        int               // in all frames, with what was not read yet
	token         Token             // that was read
}

// A decoderState says what comes next.
type decoderState uint8

const (
	atPreamble decoderState = iota
	atKind
	atLength
	atData
	atStream
)

// An item is what a decoder has found.
type item uint8

const (
	itemNone   item = iota // more is needed
	itemToken              // decoder.token was set
	itemData               // the bytes are the stream's
	itemMarker             // what follows is not for the decoder
)

// want returns how many bytes may be read and passed to decode: no more than what comes next is
// known to have, so that nothing of the unframed stream is read. There it is 0.
func (d *decoder) want() int {
	switch d.state {
	case atPreamble:
		return preambleLen - d.n
	case atKind:
		return 1
	case atLength:
		return 2 - d.n
	case atData:
		return d.left
	}
	return 0
}

// decode takes the next bytes: one at least, d.want() at most. The error matches [ErrPreamble] or
// [ErrFrame]; the decoder is of no use after it.
func (d *decoder) decode(b []byte) (item, error) {
	switch d.state {
	case atPreamble:
		if !d.collect(b) {
			return itemNone, nil
		}
		t, err := parsePreamble(d.buf[:])
		if err != nil {
			return itemNone, err
		}
		d.showed(t)
		return itemToken, nil
	case atKind:
		switch {
		case b[0] == kindMarker:
			d.state = atStream
			return itemMarker, nil
		case b[0] == kindFrame:
			d.state = atLength
			return itemNone, nil
		}
		return itemNone, fmt.Errorf("%w: kind %d", ErrFrame, b[0])
	case atLength:
		if !d.collect(b) {
			return itemNone, nil
		}
		d.left = int(binary.BigEndian.Uint16(d.buf[:]))
		d.framed += d.left
		if d.left == 0 || d.framed > maxKept {
			return itemNone, fmt.Errorf("%w: a frame of %d bytes, %d in all frames", ErrFrame, d.left, d.framed)
		}
		d.state = atData
		return itemNone, nil
	default: // atData
		if d.left -= len(b); d.left == 0 {
			d.state = atKind
		}
		return itemData, nil
	}
}

// showed records that the peer has shown a token.
func (d *decoder) showed(t Token) {
	d.token, d.state = t, atStream
	if d.fromInitiator {
		d.state = atKind
	}
}

// collect adds to d.buf, and reports whether all that was wanted is there.
func (d *decoder) collect(b []byte) bool {
	all := len(b) == d.want()
	d.n += copy(d.buf[d.n:], b)
	if all {
		d.n = 0
	}
	return all
}
