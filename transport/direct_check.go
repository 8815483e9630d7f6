package transport

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// probeTimeout is how long a suspect connection may be silent: two round trips of nearly any
	// path, with a packet that TCP repeats. On slower paths it is probeRoundTrips: TCP waits up to
	// three for an acknowledgement when it knows little of the path, repeats the packet, and that
	// takes another.
	probeTimeout    = time.Second
	probeRoundTrips = 5

	// blindTimeout is how long an answer may take on a connection for which the system does not
	// report when packets come. That is so with other transports, and on systems other than Linux.
	// An upload may be queued before the echo.
	blindTimeout = 3 * time.Second

	// maxProbe is how long the answer may take while packets come. A process that stands still may
	// be taken for dead after that.
	maxProbe = tcpport.DeadAfter

	// silenceGrain is how exact the system's account of silence is: to a tick of a kernel with 100
	// of them in a second.
	silenceGrain = 10 * time.Millisecond

	// A connection that ends while an echo has been under way for longer than stuckTime counts as
	// stuck: the path loses full-size segments, or all. An echo takes a round trip. The system ends
	// such a connection after DeadAfter, and a responder that lacks the choice or the handshake 3 s
	// after DONE.
	stuckTime = 1500 * time.Millisecond
)

// check begins the checks that the direct connections to p need: whether a suspect one answers, and
// whether another one carries full-size segments in both directions, as an echo of maxEcho bytes
// does. Each connection has one of each at a time.
func (d *upgradeDriver) check(p peer.ID) {
	trusted, suspects := d.t.sortDirect(d.h, p)
	for _, c := range suspects {
		d.beginCheck(p, c, true)
	}
	for _, c := range trusted {
		d.beginCheck(p, c, false)
	}
}

func (d *upgradeDriver) beginCheck(p peer.ID, c network.Conn, suspect bool) {
	ctx, _, end, err := d.t.begin(d.t.ctx)
	if err != nil {
		return
	}
	began := time.Now()
	if !d.t.peers.beginCheck(p, c, suspect, began) {
		end()
		return
	}
	go func() {
		defer end()
		var err error
		if suspect {
			err = probe(ctx, c)
		} else {
			err = echo(ctx, c, maxEcho) // until the connection ends
		}
		d.t.peers.endCheck(p, c, suspect, err == nil)
		e := queuedEvent{peer: p, conn: c}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			e.kind = checked
		case suspect:
			e.kind = directSilent
		case time.Since(began) > stuckTime:
			e.kind = directStuck
		default:
			return // somebody has closed it
		}
		d.enqueue(e)
	}()
}

// probe returns nil if a suspect connection is answered on in time.
func probe(ctx context.Context, c network.Conn) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	began, tcp, limit := time.Now(), tcpOf(c), blindTimeout
	silence := func() (d time.Duration, ok bool) {
		if tcp == nil {
			return 0, false
		}
		return tcpport.Silence(tcp)
	}
	if _, ok := silence(); ok {
		limit = min(max(probeTimeout, probeRoundTrips*tcpport.RTT(tcp)), maxProbe)
	}
	ended := make(chan error, 1)
	go func() { ended <- echo(ctx, c, 1) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
	}
	if d, ok := silence(); ok && d < time.Since(began)+silenceGrain { // the peer's system is there
		select {
		case err := <-ended:
			return err
		case <-time.After(maxProbe - limit):
		}
	}
	giveUp()
	return <-ended
}

// maxSegments are the sizes of segments of further connections after one that got stuck: by the
// least MTU of IPv6, which tunnels keep to (RFC 8200, section 5), and by what TCP assumes of any
// path (RFC 9293, section 3.7.1).
var maxSegments = [...]int{1220, 536}

// maxSegment returns the size of segments for a connection to p, 0 for any. A connection that is
// stuck counts before it has ended.
func (pt *peerTable) maxSegment(p peer.ID) int {
	n := 0
	pt.with(p, func(s *peerState) {
		n = s.upgrade.stuck
		for _, d := range s.direct {
			if !d.proving.IsZero() && !d.carried && time.Since(d.proving) > stuckTime {
				n++
			}
		}
	})
	if n == 0 {
		return 0
	}
	return maxSegments[min(n, len(maxSegments))-1]
}

// noteFailure records why an attempt as responder has failed. What the initiator has is stuck then.
func (pt *peerTable) noteFailure(p peer.ID, err error) {
	if !errors.Is(err, holepunch.ErrSmallPackets) {
		return
	}
	pt.with(p, func(s *peerState) {
		if len(s.relayed) > 0 { // without one, no later event would have it forgotten
			s.upgrade.stuck++
		}
	})
}

// beginCheck counts a check of a connection that begins, until endCheck, and reports whether it is
// needed.
func (pt *peerTable) beginCheck(p peer.ID, c network.Conn, suspect bool, now time.Time) (needed bool) {
	pt.with(p, func(s *peerState) {
		if s.direct == nil {
			s.direct = make(map[network.Conn]*directState)
		}
		d := s.direct[c]
		if d == nil {
			d = new(directState)
			s.direct[c] = d
		}
		begun := &d.proving
		if suspect {
			begun = &d.probing
		}
		if needed = begun.IsZero(); needed {
			*begun = now
			s.checks++
		}
	})
	return needed
}

// endCheck records whether a connection has passed a check. One that has not is not checked again.
func (pt *peerTable) endCheck(p peer.ID, c network.Conn, suspect, passed bool) {
	pt.with(p, func(s *peerState) {
		s.checks--
		if d := s.direct[c]; d != nil && passed { // and it has not ended
			if suspect {
				d.answered, d.probing = d.probing, time.Time{}
			} else {
				d.carried = true
			}
			s.wake()
		}
	})
}
