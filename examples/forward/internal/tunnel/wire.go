package tunnel

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// Protocol is that of a stream with one connection. The side that opens the stream sends a request,
// and the other one an answer:
//
//	request   length (1 byte), name of the service (UTF-8)
//	answer    status (1 byte), length (1 byte), detail (UTF-8)
//
// An empty name means the only service. After the status 0 both directions carry the connection, in
// frames. After another one the stream ends.
//
//	frame     length (2 bytes, big-endian), data
//	          0: the end of this direction
//	          65535: the connection was reset
const Protocol protocol.ID = "/simopen/forward/1.0.0"

// Frames without data, and how long the length is.
const (
	frameEnd    uint16 = 0
	frameReset  uint16 = 1<<16 - 1
	frameHeader        = 2
)

// maxText is how long a name or a detail may be, in bytes: what one byte counts.
const maxText = 255

// A Status is the answer to a request.
type Status uint8

// The statuses on the wire.
const (
	StatusOpen        Status = iota // the service is connected
	StatusRefused                   // the service refuses connections
	StatusUnreachable               // the service cannot be connected to
	StatusNoService                 // there is no service of this name
	StatusNotAllowed                // this peer may not
	StatusBusy                      // there are too many connections
)

// A Refusal is the error that a request was refused.
type Refusal struct {
	Status Status
	Detail string // the words of the side that refuses; may be empty
}

// Error says what the status means, and quotes the detail.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("refused with status %d", r.Status)
	switch r.Status {
	case StatusRefused:
		text = "the service refuses connections"
	case StatusUnreachable:
		text = "the service cannot be reached"
	case StatusNoService:
		text = "no such service"
	case StatusNotAllowed:
		text = "this peer is not allowed"
	case StatusBusy:
		text = "too many connections"
	}
	if r.Detail != "" {
		text += fmt.Sprintf(" (%q)", r.Detail)
	}
	return text
}

func writeRequest(w io.Writer, service string) error {
	_, err := w.Write(appendText(nil, service))
	return err
}

func readRequest(r io.Reader) (service string, err error) { return readText(r) }

func writeAnswer(w io.Writer, status Status, detail string) error {
	_, err := w.Write(appendText([]byte{byte(status)}, detail))
	return err
}

// readAnswer returns nil if the service is connected, a [*Refusal] if not, and another error if
// there is no answer.
func readAnswer(r io.Reader) error {
	var status [1]byte
	if _, err := io.ReadFull(r, status[:]); err != nil {
		return err
	}
	detail, err := readText(r)
	switch {
	case err != nil:
		return err
	case Status(status[0]) != StatusOpen:
		return &Refusal{Status: Status(status[0]), Detail: detail}
	}
	return nil
}

// appendText appends a text and its length. What is too long is cut off.
func appendText(b []byte, text string) []byte {
	text = text[:min(len(text), maxText)]
	return append(append(b, byte(len(text))), text...)
}

// readText reads a text, and nothing beyond it.
func readText(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	text := make([]byte, length[0])
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	return string(text), nil
}

// readFrame reads the length of a frame, or what stands in its place. A stream that ends between
// two frames was cut.
func readFrame(r io.Reader) (uint16, error) {
	var b [frameHeader]byte
	_, err := io.ReadFull(r, b[:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return binary.BigEndian.Uint16(b[:]), err
}
