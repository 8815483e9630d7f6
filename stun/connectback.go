package stun

import (
	"encoding/binary"
	"fmt"

	pion "github.com/pion/stun/v3"
)

// attrConnectBack is CONNECT-BACK, an extension of this package: see
// docs/stun-connect-back.md. Servers and clients without it ignore it, for its
// number is comprehension-optional. It is from the half that IANA gives out by
// expert review (RFC 8489 section 18.3), far from the numbers given out, which begin
// at 0xC000; there is no range for private use. CB is for connect back.
const attrConnectBack pion.AttrType = 0xf0cb

// connectBack is the value of CONNECT-BACK:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     From      |    Outcome    |             Port              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// In a request outcome and port are 0. In a response from is the request's, and
// port the server's silent port if from is nowhere.
type connectBack struct {
	from    from
	outcome outcome
	port    uint16
}

const connectBackSize = 4

// from is where the server connects from.
type from uint8

const (
	fromNowhere from = iota // does not connect: the client asks for the silent port only
	fromOther               // the other address, and a port that nobody knows
	fromOwn                 // the address that the request came to, and a port that nobody knows
	fromSilent              // the address that the request came to, and the silent port
)

// outcome is what became of the connect.
type outcome uint8

const (
	notDone     outcome = iota // there is no such address, or there were too many before
	connected                  // a SYN+ACK came
	refused                    // a RST came
	refusedICMP                // an ICMP error came
	noAnswer                   // nothing came
)

// refuses reports whether a SYN was sent and not let in.
func (o outcome) refuses() bool { return o == refused || o == refusedICMP || o == noAnswer }

// AddTo appends the attribute to m.
func (b connectBack) AddTo(m *pion.Message) error {
	var value [connectBackSize]byte
	value[0], value[1] = byte(b.from), byte(b.outcome)
	binary.BigEndian.PutUint16(value[2:], b.port)
	m.Add(attrConnectBack, value[:])
	return nil
}

// GetFrom reads the attribute of m. Values that are not known yet are no error.
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
