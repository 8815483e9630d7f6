package stun

import (
	"errors"
	"net"
	"sync/atomic"
)

// ServerStats is what a Server has done so far.
type ServerStats struct {
	Open     int    // connections at the moment
	Accepted uint64 // connections that were let in, open or not

	TCPRequests, UDPRequests uint64 // answered

	ConnectBacks uint64 // connects to clients that asked for it

	// Refused counts by reason. It has every Refusal, with 0 for those that have not happened.
	Refused map[Refusal]uint64
}

// A Refusal is why a Server refuses or ends a connection, or does not connect back. A client that
// leaves, or is idle for [ServerConfig.IdleTimeout], is not refused.
type Refusal string

const (
	RefusedClientLimit Refusal = "client_limit" // the client has MaxConnsPerClient connections
	RefusedFull        Refusal = "full"         // the server has MaxConns connections, and none to evict
	RefusedEvicted     Refusal = "evicted"      // an open connection gave way to a newcomer
	RefusedRate        Refusal = "rate"         // more messages than MaxRequestRate
	RefusedSlow        Refusal = "slow"         // RequestTimeout
	RefusedMalformed   Refusal = "malformed"    // not STUN; over UDP, not a Binding request
	RefusedConnectBack Refusal = "connect_back" // too many connects to this client, its network, or in all
)

// A serverCounter is an index of serverCounters.
type serverCounter int

const (
	countAccepted serverCounter = iota
	countTCPRequest
	countUDPRequest
	countClientLimit
	countFull
	countEvicted
	countRate
	countSlow
	countMalformed
	serverCounterNumber
)

// serverCounters count what a Server does.
type serverCounters [serverCounterNumber]atomic.Uint64

func (c *serverCounters) inc(which serverCounter) { c[which].Add(1) }

// failed counts that a connection ended with err, if that was the client's fault.
func (c *serverCounters) failed(err error) {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		c.inc(countSlow)
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrTooLong):
		c.inc(countMalformed)
	}
}

// Stats returns what the server has done so far. It may be called at any time, even after Close.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	open := len(s.open.conns)
	s.mu.Unlock()
	made, refused := s.backs.counts()
	count := func(which serverCounter) uint64 { return s.counters[which].Load() }
	return ServerStats{
		Open:         open,
		Accepted:     count(countAccepted),
		TCPRequests:  count(countTCPRequest),
		UDPRequests:  count(countUDPRequest),
		ConnectBacks: made,
		Refused: map[Refusal]uint64{
			RefusedClientLimit: count(countClientLimit),
			RefusedFull:        count(countFull),
			RefusedEvicted:     count(countEvicted),
			RefusedRate:        count(countRate),
			RefusedSlow:        count(countSlow),
			RefusedMalformed:   count(countMalformed),
			RefusedConnectBack: refused,
		},
	}
}
