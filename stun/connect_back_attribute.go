package stun

import (
	"encoding/binary"
	"fmt"

	pion "github.com/pion/stun/v3"
)

// attrConnectBack is CONNECT-BACK, an extension of this package: see docs/stun-connect-back.md. Its
// number is comprehension-optional, so that servers and clients without it ignore it. It is in the
// half that IANA assigns by expert review (RFC 8489 section 18.3), far from the assigned numbers,
// which begin at 0xC000; there is no range for private use. CB stands for connect back.
const attrConnectBack pion.AttrType = 0xf0cb

// A connectBack is the value of CONNECT-BACK:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     From      |    Outcome    |             Port              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// In a request, outcome and port are 0. In a response, from is the request's, and port is the
// server's silent port if from is fromNowhere.
type connectBack struct {
	from    from
	outcome outcome
	port    uint16
}

const connectBackSize = 4

// A from is the place from which the server connects.
type from uint8

const (
	fromNowhere from = iota // none: the client only asks for the silent port
	fromOther               // the other address, and a port that nobody knows
	fromOwn                 // the address that received the request, and a port that nobody knows
	fromSilent              // the address that received the request, and the silent port
)

// An outcome is the result of the server's connect.
type outcome uint8

const (
	notDone     outcome = iota // there is no such address, or a bound was reached
	connected                  // a SYN+ACK arrived
	refused                    // a RST arrived
	refusedICMP                // an ICMP error arrived
	noAnswer                   // nothing arrived
)

// refuses reports whether a SYN was sent and not admitted.
func (o outcome) refuses() bool { return o == refused || o == refusedICMP || o == noAnswer }

// AddTo appends the attribute to m.
func (b connectBack) AddTo(m *pion.Message) error {
	value := [connectBackSize]byte{byte(b.from), byte(b.outcome)}
	binary.BigEndian.PutUint16(value[2:], b.port)
	m.Add(attrConnectBack, value[:])
	return nil
}

// GetFrom reads the attribute of m. Unknown values are no error.
func (b *connectBack) GetFrom(m *pion.Message) error {
	value, err := m.Get(attrConnectBack)
	if err != nil {
		return err
	}
	if len(value) != connectBackSize {
		return fmt.Errorf("%w: CONNECT-BACK of %d bytes", ErrMalformed, len(value))
	}
	*b = connectBack{from(value[0]), outcome(value[1]), binary.BigEndian.Uint16(value[2:])}
	return nil
}
