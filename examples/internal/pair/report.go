package pair

import (
	"math"
	"time"
)

// A Report is the result of [Dial].
type Report struct {
	Relayed bool `json:"relayed"` // there was a relayed connection
	Direct  bool `json:"direct"`  // and then a direct one

	// Simultaneous: the direct connection was made by a simultaneous open (RFC 9293, section 3.5).
	// That is so when both ends have it from their connect.
	Simultaneous bool `json:"simultaneous"`

	// TimeToDirect is from the relayed connection being up at the dialler to the direct one being
	// up there, both as libp2p notifies of it.
	TimeToDirect Millis `json:"time_to_direct_ms"`

	// The round trips are the shortest of five pings, after the punch.
	RelayedRTT Millis `json:"relayed_rtt_ms"`
	DirectRTT  Millis `json:"direct_rtt_ms"`

	RemoteAddr string `json:"remote_addr"` // the other end of the direct connection
	Reason     string `json:"reason"`      // why there is no direct connection, or what failed on it

	Bytes          int64 `json:"bytes"` // that the other side confirmed
	BytesPerSecond int64 `json:"bytes_per_second"`

	// RelayedBytesPerSecond is the rate over the relayed connection, or 0 if it was not measured.
	RelayedBytesPerSecond int64 `json:"relayed_bytes_per_second"`
}

// Millis is a number of milliseconds.
type Millis float64

// ToMillis converts d to milliseconds, with the precision of a microsecond.
func ToMillis(d time.Duration) Millis {
	return Millis(math.Round(float64(d)/float64(time.Microsecond)) / 1000)
}

// Duration converts m to a duration.
func (m Millis) Duration() time.Duration {
	return time.Duration(math.Round(float64(m) * float64(time.Millisecond)))
}
