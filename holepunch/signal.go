package holepunch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/libp2p/go-msgio"
	"github.com/libp2p/go-msgio/pbio"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Protocol is the ID of the signalling protocol.
const Protocol = "/simopen/1.0.0"

const (
	// AnswerTimeout bounds the wait for the peer's next message. The peer may
	// have to ask a STUN server first, which takes two RTTs to it when its port
	// is not warm, and a SYN's retransmission (1 s, 3 s) when the path is lossy.
	AnswerTimeout = 5 * time.Second

	// doneTimeout bounds the writing of a message that nobody waits for.
	doneTimeout = time.Second
)

// A Stream carries the signalling; a libp2p stream is one.
type Stream interface {
	io.ReadWriter
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// A Signal is the signalling of one attempt. One goroutine at a time may read
// from it, by [Signal.Next], and another one write, by the other methods.
type Signal struct {
	stream  Stream
	r       msgio.Reader
	w       pbio.Writer
	attempt attemptID
}

func newSignal(s Stream) *Signal {
	return &Signal{stream: s, r: newReader(s), w: pbio.NewDelimitedWriter(s)}
}

// Offer begins an attempt as initiator: it sends an OFFER with our terms and
// returns the terms of the peer's ANSWER. The target is the peer's address that
// was dialled, or invalid if none in particular. It waits until ctx ends, and [AnswerTimeout]
// at most: [ErrNoAnswer]. What fails is a [*PunchError]; a
// peer that refuses is a [*RemoteError] in it, or the reason that the two behaviours
// are.
func Offer(ctx context.Context, s Stream, own Terms, target netip.AddrPort) (*Signal, Terms, error) {
	sig := newSignal(s)
	rand.Read(sig.attempt[:])
	answer, err := sig.exchange(ctx, &message{typ: pb.Message_OFFER, terms: own, target: target}, pb.Message_ANSWER)
	if err != nil {
		return nil, Terms{}, &PunchError{Op: "offer", Err: explained(err, own.Behaviour)}
	}
	return sig, answer.terms, nil
}

// explained gives the reason why a peer says that it is impossible.
func explained(err error, own stun.Behaviour) error {
	var remote *RemoteError
	if errors.As(err, &remote) && remote.Status == pb.Status_IMPOSSIBLE {
		if reason := noWay(own, remote.Behaviour); reason != nil {
			return reason
		}
	}
	return err
}

// Request asks the initiator of the relayed connection for an attempt and
// waits for its end, as the initiator tells it, or until ctx ends. The responder calls it.
// What fails is a [*PunchError], with a [*RemoteError] for the initiator's reason.
func Request(ctx context.Context, s Stream) error {
	sig := newSignal(s)
	rand.Read(sig.attempt[:])
	if _, err := sig.exchange(ctx, &message{typ: pb.Message_REQUEST}, pb.Message_DONE); err != nil {
		return &PunchError{Op: "request", Err: err}
	}
	return nil
}

// exchange sends m and waits for a message of the given type and a good status.
func (s *Signal) exchange(ctx context.Context, m *message, want pb.Message_Type) (*message, error) {
	if m.typ == pb.Message_OFFER {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, AnswerTimeout, errSilent)
		defer cancel()
	}
	defer interrupt(ctx, s.stream.SetDeadline)()
	err := s.write(m)
	if err == nil && m.typ == pb.Message_OFFER {
		err = s.trail()
	}
	if err != nil {
		return nil, interrupted(ctx, fmt.Errorf("%w: %w", ErrSignalLost, err))
	}
	for {
		answer, err := read(s.r)
		switch {
		case err != nil:
			return nil, interrupted(ctx, fmt.Errorf("waiting for %s: %w", want, err))
		case answer.status == pb.Status_MALFORMED:
			// Who cannot read a message may not know its attempt either.
			return nil, answer.refusal()
		case answer.attempt != s.attempt:
			return nil, fmt.Errorf("%w: %s of another attempt", ErrMalformed, answer.typ)
		case answer.typ != want:
			// A type that a later version knows: not for us.
		case answer.status != pb.Status_OK:
			return nil, answer.refusal()
		default:
			return answer, nil
		}
	}
}

// A Received is the first message of the peer that opened the stream.
type Received struct {
	*Signal
	// Request is set when the peer asks us to initiate; there are no
	// terms then, and Done is the reply.
	Request bool
	Terms   Terms
	Target  netip.AddrPort // the address of ours that the peer dialled, or invalid
}

// Refuse is [Signal.Refuse]. What answers a REQUEST is DONE.
func (r *Received) Refuse(status pb.Status, detail string) {
	m := &message{typ: pb.Message_ANSWER, status: status, detail: detail}
	if r.Request {
		m.typ = pb.Message_DONE
	}
	r.bestEffort(m)
}

// Receive reads the first message of a stream that the peer opened, for which it waits
// [AnswerTimeout] at most. What is
// malformed is answered with that status before the [*PunchError] is returned.
func Receive(ctx context.Context, s Stream) (*Received, error) {
	sig := newSignal(s)
	ctx, cancel := context.WithTimeoutCause(ctx, AnswerTimeout, errSilent)
	defer cancel()
	stop := interrupt(ctx, s.SetDeadline)
	m, err := read(sig.r)
	stop()
	err = interrupted(ctx, err)
	if err == nil && m.typ != pb.Message_OFFER && m.typ != pb.Message_REQUEST {
		err = fmt.Errorf("%w: begins with %s", ErrMalformed, m.typ)
	}
	if m != nil {
		sig.attempt = m.attempt
	}
	if err != nil {
		if errors.Is(err, ErrMalformed) {
			sig.Refuse(pb.Status_MALFORMED, err.Error()) // names nothing but its own bounds
		}
		return nil, &PunchError{Op: "receive", Err: err}
	}
	return &Received{
		Signal:  sig,
		Request: m.typ == pb.Message_REQUEST,
		Terms:   m.terms,
		Target:  m.target,
	}, nil
}

// Answer sends the responder's terms, in reply to the OFFER, which is round 0,
// or to the RETRY of a later round. The responder starts to punch when Answer
// returns. The error is a [*PunchError] that matches [ErrSignalLost].
func (s *Signal) Answer(round int, own Terms) error {
	if err := s.tell("answer", &message{typ: pb.Message_ANSWER, round: round, terms: own}); err != nil {
		return err
	}
	s.trail() // best effort
	return nil
}

// trailPause keeps a message and its trailer apart: go-yamux writes together what comes
// within 0.1 ms.
const trailPause = time.Millisecond

// trail sends a message that says nothing, in a packet of its own. When the packet with the
// message before it is lost, TCP learns of that from the acknowledgement of this one, a round
// trip later (RACK, RFC 8985); and otherwise by its timer, after 200 ms and more.
func (s *Signal) trail() error {
	time.Sleep(trailPause)
	return s.write(&message{typ: pb.Message_TRAILER})
}

// Retry begins a further round, from 1 to [MaxRounds], as initiator. The peer's
// terms for it come as [News]. The error is a [*PunchError] that matches [ErrSignalLost].
func (s *Signal) Retry(round int, own Terms) error {
	return s.tell("retry", &message{typ: pb.Message_RETRY, round: round, terms: own})
}

// More adds candidates to those of the round under way. It is best effort.
func (s *Signal) More(cs []Candidate) {
	s.bestEffort(&message{typ: pb.Message_CANDIDATES, terms: Terms{Candidates: cs}})
}

func (s *Signal) tell(op string, m *message) error {
	s.stream.SetWriteDeadline(time.Now().Add(AnswerTimeout))
	if err := s.write(m); err != nil {
		return &PunchError{Op: op, Err: fmt.Errorf("%w: %w", ErrSignalLost, err)}
	}
	return nil
}

// Refuse answers an OFFER or a RETRY that will not be followed up, with the
// reason. It is best effort.
func (s *Signal) Refuse(status pb.Status, detail string) {
	s.bestEffort(&message{typ: pb.Message_ANSWER, status: status, detail: detail})
}

// RefuseImpossible refuses because of the two NATs, and tells what ours does,
// so that the peer can say why.
func (s *Signal) RefuseImpossible(own stun.Behaviour) {
	s.bestEffort(&message{typ: pb.Message_ANSWER, status: pb.Status_IMPOSSIBLE, terms: Terms{Behaviour: own}})
}

// Cross tells the responder that the crossed pairs begin. It is best effort.
func (s *Signal) Cross() {
	s.bestEffort(&message{typ: pb.Message_CROSS})
}

// Done tells the peer how the attempt ended: nil for success. The initiator
// always does, the responder when it gave up. The peer gets the status that fits
// the error and the detail, not the error's text: that may name addresses
// which are none of a stranger's business. It is best effort; who does not hear
// it stops at the end of the window.
func (s *Signal) Done(err error, detail string) {
	m := &message{typ: pb.Message_DONE, detail: detail}
	var remote *RemoteError
	switch {
	case err == nil:
	case errors.As(err, &remote):
		m.status, m.detail = remote.Status, remote.Detail
	case errors.Is(err, context.Canceled):
		m.status = pb.Status_CANCELLED
	case errors.Is(err, ErrNoAddress):
		m.status = pb.Status_NO_ADDRESS
	case errors.Is(err, ErrNoCandidate):
		m.status = pb.Status_NO_CANDIDATE
	case errors.Is(err, ErrBusy), errors.Is(err, ErrNoSocket):
		m.status = pb.Status_BUSY
	case errors.Is(err, ErrUnpredictable), errors.Is(err, ErrPortFiltered), errors.Is(err, ErrNoBareSYN), errors.Is(err, ErrNoHairpin):
		m.status = pb.Status_IMPOSSIBLE
	default:
		m.status = pb.Status_FAILED
	}
	s.bestEffort(m)
}

// bestEffort writes what nobody waits for.
func (s *Signal) bestEffort(m *message) {
	s.stream.SetWriteDeadline(time.Now().Add(doneTimeout))
	s.write(m)
}

// News is what the peer says in the middle of an attempt.
type News struct {
	Type  pb.Message_Type // RETRY, ANSWER, CANDIDATES or DONE
	Round int             // of RETRY and ANSWER
	Terms Terms
	Err   error // of ANSWER and DONE: a [*RemoteError], or nil for a good status
}

// Next waits for the peer's next message. A stream that ends without a DONE
// returns an error that matches [ErrSignalLost]: the relay may have died, and the
// punch need not end for that.
func (s *Signal) Next(ctx context.Context) (News, error) {
	defer interrupt(ctx, s.stream.SetReadDeadline)()
	for {
		m, err := read(s.r)
		if err != nil {
			return News{}, interrupted(ctx, err)
		}
		if m.attempt != s.attempt {
			continue
		}
		n := News{Type: m.typ, Round: m.round, Terms: m.terms}
		switch m.typ {
		case pb.Message_ANSWER, pb.Message_DONE:
			if m.status != pb.Status_OK {
				n.Err = m.refusal()
			}
			return n, nil
		case pb.Message_RETRY, pb.Message_CANDIDATES, pb.Message_CROSS:
			return n, nil
		}
	}
}

func (m *message) refusal() *RemoteError {
	return &RemoteError{Status: m.status, Detail: m.detail, Behaviour: m.terms.Behaviour}
}

func (s *Signal) write(m *message) error {
	m.attempt = s.attempt
	return s.w.WriteMsg(m.marshal())
}

// interrupt makes what a deadline is set for fail when ctx ends, until the function
// that it returns is called.
func interrupt(ctx context.Context, setDeadline func(time.Time) error) func() {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		setDeadline(time.Unix(1, 0))
		close(done)
	})
	return func() {
		if !stop() {
			<-done
		}
		setDeadline(time.Time{})
	}
}

// interrupted replaces an error that the end of ctx caused.
func interrupted(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case context.Cause(ctx) == errSilent:
		return errSilent
	default:
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	}
}

// errSilent is the end of our own patience, not of the caller's.
var errSilent = fmt.Errorf("%w within %v", ErrNoAnswer, AnswerTimeout)
