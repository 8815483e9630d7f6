package stun

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrMalformed means that bytes arrived that are not a STUN message, or
	// a message that RFC 8489 does not allow at this place. Whoever sent
	// them is probably no STUN server.
	ErrMalformed = errors.New("malformed STUN message")

	// ErrTooLong means that the header of a message announces more than
	// 2 KiB. The rest of the message was not read.
	ErrTooLong = errors.New("STUN message too long")

	// ErrTransaction means that a response arrived that answers no request
	// sent on this connection. TCP neither duplicates nor delays, so the
	// server is at fault.
	ErrTransaction = errors.New("response to an unknown transaction")

	// ErrNoMappedAddress means that a success response holds no address
	// which could be used: none at all, one that no host has (unspecified,
	// multicast, reserved), or port 0.
	ErrNoMappedAddress = errors.New("no mapped address in the response")

	// ErrDisconnected means that the server closed or reset the connection,
	// that TCP gave it up, or that the server has not answered for long. It matches io.EOF too. The mapping which the
	// connection made may be gone.
	ErrDisconnected error = disconnected{}

	// ErrServerClosed is what Server.Serve returns after Shutdown or Close.
	ErrServerClosed = errors.New("stun: server closed")
)

type disconnected struct{}

func (disconnected) Error() string { return "connection lost" }

func (disconnected) Unwrap() error { return io.EOF }

// Error is the error of a client operation. Use errors.Is and errors.As to
// learn about Err.
type Error struct {
	Op     string // "parse", "dial", "binding" or "read"
	Server string // the server, as given or as host:port
	Err    error  // the reason
}

// Error names the operation, the server and the reason.
func (e *Error) Error() string {
	return "stun: " + e.Op + " " + e.Server + ": " + e.Err.Error()
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

// ResponseError is an error response of a server, RFC 8489 section 6.3.4. The
// connection stays usable.
type ResponseError struct {
	Code   int    // 300 to 699, see RFC 8489 section 14.8
	Reason string // the server's words, for humans: 128 bytes at most; may be empty
}

// Error has the code, and the server's words in quotes.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("error response %d %q", e.Code, e.Reason)
}
