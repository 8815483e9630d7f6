package gather

import (
	"context"
	"net/netip"
	"time"
)

// A query is an observer that was asked.
type query struct {
	observer Observer
	server   bool // it is a STUN server
	cancel   context.CancelFunc
	state    queryState
	due      time.Time // until when an answer, or the end of closing, is waited for
	ended    bool      // Observe has returned

	keepAlive time.Duration // of its connection

	answer            // of a held one
	source netip.Addr // from which the host sends to a held one; invalid without a route
	since  time.Time  // when it answered
	err    error      // of a failed one
}

type queryState uint8

const (
	asking  queryState = iota
	held               // it has answered, and the connection is held
	failed             // it is not asked again for a while
	closing            // it cannot be asked again before its connection is closed
)

func isHeld(q *query) bool { return q.state == held }

// isPending reports whether q may still answer, or be asked again. An observer that does not end
// when it should is not waited for.
func (q *query) isPending(now time.Time) bool {
	return (q.state == asking || q.state == closing) && now.Before(q.due)
}
