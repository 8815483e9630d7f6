package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// result is what -json prints.
type result struct {
	Connected bool           `json:"connected"`
	Hello     string         `json:"hello"`         // the peer's words, which may be anything
	Remote    netip.AddrPort `json:"remote"`        // the other end of the connection, or ""
	Accepted  bool           `json:"accepted"`      // by the listener, not by a connect
	RTT       float64        `json:"rtt_ms"`        //
	Took      float64        `json:"took_ms"`       // from the slot until both had agreed
	Slot      time.Time      `json:"slot"`          // the last one
	Slots     int            `json:"slots"`         // how many there were
	Late      float64        `json:"late_us"`       // from the slot to the first SYN
	Connects  int            `json:"connects"`      // in the last slot
	Refused   int            `json:"refused"`       // of them
	Offset    float64        `json:"offset_ms"`     // in all, that was added to the clock
	Within    float64        `json:"ntp_within_ms"` // by how much -ntp can be wrong
	Reason    string         `json:"reason"`        // why there is no connection, or ""
}

// A session is a run of the program.
type session struct {
	opts   options
	out    *console.Console
	clock  clock
	result result
}

func (s *session) run(ctx context.Context) result {
	if err := s.meet(ctx); err != nil && s.result.Reason == "" {
		s.result.Reason = err.Error()
	}
	return s.result
}

// meet tries slot after slot.
func (s *session) meet(ctx context.Context) error {
	p, err := newPuncher(s.opts.port, s.opts.peer)
	if err != nil {
		return fmt.Errorf("%s", console.ExplainPort(s.opts.port, err))
	}
	defer p.close()
	if isSelf(s.opts.peer, p.port.Number()) {
		return errors.New(selfWords(s.opts.peer))
	}
	s.out.Line("port", "%d", p.port.Number())
	s.out.Line("peer", "%s", s.opts.peer)
	if err := s.setClock(ctx); err != nil {
		return err
	}
	p.clock = s.clock
	for s.result.Slots < s.opts.slots {
		if over, err := s.slot(ctx, p); over {
			return err
		}
	}
	s.out.Line("check", "%s", advice[0])
	for _, line := range advice[1:] {
		s.out.Line("", "%s", line)
	}
	return nil
}

func (s *session) setClock(ctx context.Context) error {
	s.clock = clock{s.opts.offset}
	defer func() { s.result.Offset = millis(s.clock.offset) }()
	if s.opts.ntp == "" {
		s.out.Line("clock", "this machine's%s", plus(s.clock.offset))
		return nil
	}
	offset, within, err := s.clock.measure(ctx, s.opts.ntp)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted")
		}
		return err
	}
	s.clock.offset += offset
	s.result.Within = millis(within)
	s.out.Line("clock", "this machine's%s, as %s has it to within %s",
		plus(s.clock.offset.Round(time.Microsecond)), s.opts.ntp, console.Millis(within))
	return nil
}

// slot waits for the next slot and punches. It is over when there is a connection,
// or can be none.
func (s *session) slot(ctx context.Context, p *puncher) (over bool, err error) {
	r := &s.result
	at := next(s.clock.now(), s.opts.every)
	r.Slot = at.UTC()
	s.out.Line("slot", "%s, %d of %d, in %.1f s", slotTime(at), r.Slots+1, s.opts.slots, at.Sub(s.clock.now()).Seconds())
	a := newAgreement(s.opts.hello)
	err = s.clock.wait(ctx, at, func(left time.Duration) {
		s.out.Passing("", "%.0f s left", math.Ceil(left.Seconds()))
	})
	var (
		met *partner
		t   tally
	)
	if err == nil {
		r.Slots++
		met, t, err = p.run(ctx, a, window(s.opts.every))
	}
	s.out.Clear()
	r.Connects, r.Refused = t.punch.Connects, t.punch.Refused
	if !t.start.IsZero() {
		r.Late = float64(t.start.Sub(at)) / float64(time.Microsecond)
		s.out.Line("start", "first SYN %.0f µs after it", r.Late)
		s.out.Line("punch", "%s", connects(t.punch))
	}
	if met != nil {
		s.connected(at, met)
		return true, nil
	}
	r.Reason = explain(err, t, s.opts.peer)
	if ctx.Err() != nil || errors.Is(t.dropped, errSelf) {
		return true, err
	}
	if r.Slots < s.opts.slots {
		s.out.Line("", "%s", r.Reason)
	}
	return false, nil
}

func (s *session) connected(at time.Time, met *partner) {
	r := &s.result
	r.Connected, r.Reason = true, ""
	r.Hello, r.Remote, r.Accepted = met.hello.text, remote(met.conn), met.accepted
	r.RTT, r.Took = millis(met.rtt), millis(met.up.Sub(at))
	how := "this side connected"
	if r.Accepted {
		how = "this side accepted"
	}
	s.out.Line("connected", "to %s, %s after the slot; %s", r.Remote, console.Millis(met.up.Sub(at)), how)
	s.out.Line("RTT", "%s", console.Millis(met.rtt))
	// %q, for the text can hold whatever a stranger likes to send to a terminal.
	s.out.Line("hello", "%q", r.Hello)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
