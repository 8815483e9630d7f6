package stun

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Errors of a connection.
var (
	// ErrMalformed means that the bytes received are not a STUN message, or a message that RFC 8489
	// does not allow there. The other end is probably no STUN server.
	ErrMalformed = errors.New("malformed STUN message")

	// ErrTooLong means that the header of a message announces more than 2 KiB. The rest of the
	// message was not read.
	ErrTooLong = errors.New("STUN message too long")

	// ErrTransaction means that a response answers no request sent on this connection. TCP neither
	// duplicates nor delays, so the server is at fault.
	ErrTransaction = errors.New("response to an unknown transaction")

	// ErrNoMappedAddress means that a success response holds no usable address: none at all, one
	// that no host has (unspecified, multicast, reserved), or port 0.
	ErrNoMappedAddress = errors.New("no mapped address in the response")

	// ErrDisconnected means that the server closed or reset the connection, that TCP gave it up, or
	// that 64 requests had no response. It matches io.EOF too. The mapping that the connection made
	// may be gone.
	ErrDisconnected error = disconnected{}

	// ErrServerClosed is returned by Server.Serve after Shutdown or Close.
	ErrServerClosed = errors.New("stun: server closed")
)

// Faults of a server that [Discover] reports, besides what [Dial] and [Conn.Binding] return.
var (
	// ErrNoTCP means that a server answers over UDP, and not over TCP.
	ErrNoTCP = errors.New("the server answers over UDP, but not over TCP")

	// ErrFamily means that a server reports an IPv4 address at the end of an IPv6 connection, or
	// the reverse.
	ErrFamily = errors.New("the server claims to see an address of the other family")

	// ErrPrivateMapped means that a public server reports a private address, or one on another host
	// a loopback address. Neither can have reached it.
	ErrPrivateMapped = errors.New("the server claims to see a private address, which cannot have reached it")

	// ErrSameServer means that a server is at an address that was asked already under another name.
	ErrSameServer = errors.New("the same address as another server's")

	// ErrDissent means that an observer reports another address of the local port than the others
	// do. It lies, or the NATs in front use several addresses.
	ErrDissent = errors.New("observers disagree about the address")
)

type disconnected struct{}

func (disconnected) Error() string { return "connection lost" }

func (disconnected) Unwrap() error { return io.EOF }

// An Error is the error of a client operation. Use errors.Is and errors.As to examine Err.
type Error struct {
	Op     string // "parse", "dial", "binding" or "read"
	Server string // the server, as given or as host:port
	Err    error  // the reason
}

// Error returns the operation, the server and the reason.
func (e *Error) Error() string {
	return "stun: " + e.Op + " " + e.Server + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// A ResponseError is an error response of a server, RFC 8489 section 6.3.4. The connection stays
// usable.
type ResponseError struct {
	Code   int    // 300 to 699, see RFC 8489 section 14.8
	Reason string // the server's reason phrase, 128 bytes at most; may be empty
}

// Error returns the code, and the server's reason phrase in quotes.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("error response %d %q", e.Code, e.Reason)
}

// A DissentError describes an observer that contradicts others. It wraps [ErrDissent].
type DissentError struct {
	Observed
	// Majority is the address that most observers report. This observer's address then does not
	// count. It is the zero Addr if there is no majority, and all addresses count.
	Majority netip.Addr
}

// Error returns the observer, what it reports, and what most others do.
func (e *DissentError) Error() string {
	if !e.Majority.IsValid() {
		return fmt.Sprintf("%v: %s says %s, others say otherwise", ErrDissent, e.Observer, e.Mapped)
	}
	return fmt.Sprintf("%v: %s says %s, most say %s", ErrDissent, e.Observer, e.Mapped, e.Majority)
}

// Unwrap returns [ErrDissent].
func (e *DissentError) Unwrap() error { return ErrDissent }
