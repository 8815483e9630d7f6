package holepunch

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// actions are what a session does. Those without a result return at once, and their outcome is a
// later event.
type actions interface {
	gather(fresh bool)                             // see [gather.Options.Fresh]; then onGathered
	predict()                                      // then onPredicted
	startHandshake(protocol string, flight []byte) // with the peer's flight; then onFlight and onSecured
	restartHandshake(protocol string)              // again, over the stream alone; then onSecured
	continueHandshake(flight []byte)               // over the stream, after the peer's flight
	expect(own punch.Token)                        // for the stream, connections that show the token
	connectWith(peer punch.Token)                  // what the stream's connections to the peer show
	startRound(roundSpec)
	addCandidates([]punch.Candidate)               // to the round
	cross(quiet, later time.Duration)              // begins the crossed pairs, see [punch.Opening.Cross]
	stopConnects()                                 // of the round, which goes on
	endRound()                                     // if there is one; then onRoundEnded
	findEgress(peer []netip.AddrPort)              // whether connections get out; then onEgress
	elsewhere(to []netip.AddrPort, punchable bool) // then onElsewhere
	setTimer(timer, time.Duration)                 // then onTimer; 0 stops it
	trace(Event)
	deliver()           // gives the caller the connection, while the session goes on
	finish(*PunchError) // the end; nil for a connection

	// send writes a message, or fails within the timeout.
	send(m *message, timeout time.Duration) error

	// These return something that the session does not know by itself. Some ask the application.
	admitPeer() error                                          // whether the peer's OFFER may be answered
	lanCandidates() []punch.Candidate                          // of the round's port
	links() []netip.Prefix                                     // of the host
	filterRemote([]punch.Candidate) ([]punch.Candidate, error) // as Options.FilterRemote does
	quiet() time.Duration                                      // see [punch.Opening.Quiet]
	connected() (up, chosen bool)                              // whether a connection is
	beginGuess() error                                         // whether ports may be guessed
}

// A roundSpec is a session's part in a round, see [punch.Round].
type roundSpec struct {
	number         int
	remote         []punch.Candidate
	passive, late  bool
	delay, delayV6 [punch.MaxPorts]time.Duration
	atCross        bool
	guess          punch.Guess
	window         time.Duration
}

// A session is the state machine of one attempt, of either role. Its events are its methods that
// begin with "on". It has no clock: now is set before events that the peer or a helper has caused,
// and after calls that take time.
type session struct {
	do        actions
	initiator bool
	attempt   attemptID
	token     punch.Token // of this side
	protocols []string    // of this side's Handshake; nil without
	guessing  bool        // this side is willing to guess ports
	timeout   time.Duration
	window    time.Duration // see roundWindow
	now       time.Time

	state      sessionState
	offer      *message      // of the initiator, at the responder
	offered    time.Time     // when the OFFER or RETRY left, or the OFFER came
	rtt        time.Duration // over the relay: how long the ANSWER was on the way, and the OFFER
	toRelay    time.Duration // one way; 0 if unknown
	answerWay  time.Duration // at a responder: how long the ANSWER is on the way, as far as is known
	signalLost bool          // no more messages come
	sendFailed bool          // a message could not be sent
	doneSent   bool          // how the attempt ended was sent to the peer
	doneHeard  bool          // the initiator has reported success

	// Of the round.
	round  int
	ready  bool // own describes this round
	own    description
	port   uint16 // the first local one
	theirs description
	remote []punch.Candidate // of theirs, those that may be dialled
	cause  error             // why the round before failed

	promised   bool        // the OFFER said that predicted candidates follow
	guess      punch.Guess // in round 0; an initiator has no other round then
	lastRound  bool        // it is too late for another
	crossDue   time.Time   // when CROSS is to leave at the latest; zero when it has left
	crossHeard bool        // in this round, by a responder
	spoiled    bool        // the NATs have refused all pairs, and a round on fresh ports follows
	windowEnd  time.Time   // of an initiator: when the window ends that began with the first ANSWER
	elsewhere  elsewhereState

	egressAsked bool  // suspectEgress has started
	egressWhy   error // the outcome, unless it is Yes

	flights
	secured   bool // the handshake is done
	usable    bool // the stream can be read and written
	chosen    bool // the initiator has chosen a connection
	delivered bool // the caller has the connection
}

// A sessionState says what a session waits for.
type sessionState uint8

const (
	receiving  sessionState = iota // a responder: the OFFER
	preparing                      // what its OFFER, ANSWER or RETRY is to say
	waiting                        // an initiator: the ANSWER
	predicting                     // an initiator: the predicted candidates that its OFFER promised
	punching                       // a connection
	over
)

// An elsewhereState says how far Options.Elsewhere is.
type elsewhereState uint8

const (
	noElsewhere      elsewhereState = iota // there is none, or it has failed
	elsewhereUnasked                       // it is called when the first round begins
	elsewhereAsked
	elsewhereTold // the same, and the peer has said that it has a connection by its own means
)

// ops are the stages, for a PunchError.
var ops = [...]string{receiving: "receive", preparing: "gather", waiting: "offer", predicting: "gather", punching: "open", over: "open"}

func (s *session) op() string {
	if s.state == waiting && s.round > 0 {
		return "retry"
	}
	return ops[s.state]
}

// start begins the session.
func (s *session) start() {
	if !s.initiator {
		s.do.setTimer(answerTimer, answerTimeout)
		return
	}
	s.do.setTimer(attemptTimer, s.timeout)
	s.prepare()
}

// prepare gathers what the round's OFFER, ANSWER or RETRY is to say.
func (s *session) prepare() {
	s.state, s.ready = preparing, false
	s.do.gather(s.round > 0)
}

// onGathered handles the end of gather.
func (s *session) onGathered(own description, port uint16, err error) {
	switch {
	case s.state != preparing:
		return
	case err != nil:
		s.fail("gather", err)
		return
	}
	s.own, s.port, s.ready = own, port, true
	s.own.guessing = s.guessing
	if !s.initiator { // before a prediction: what cannot work is refused without delay
		if err := s.admit(); err != nil {
			s.fail("admit", err)
			return
		}
	}
	if s.own.following {
		s.do.predict()
	}
	s.proceed()
}

// onPredicted handles the end of predict. The candidates are all of this side.
func (s *session) onPredicted(cs []punch.Candidate, err error) {
	switch {
	case s.state != preparing && s.state != waiting && s.state != predicting:
	case err != nil:
		s.fail("gather", err)
	default:
		s.own.candidates, s.own.following = cs, false
		if s.state == predicting {
			s.punch()
		} else {
			s.proceed()
		}
	}
}

// proceed leaves the state preparing when everything is there.
func (s *session) proceed() {
	if s.state != preparing || !s.ready {
		return
	}
	switch {
	case s.initiator && s.round == 0:
		s.sendOffer()
	case s.own.following:
	case s.initiator:
		s.sendRetry()
	default:
		s.sendAnswer()
	}
}

// onMessage handles a message of the peer.
func (s *session) onMessage(m *message) {
	switch {
	case s.state == over:
	case s.state == receiving:
		s.onFirst(m)
	case s.initiator && s.state == preparing && s.round == 0 && m.typ == pb.Message_OFFER:
		s.onOfferFirst(m)
	case s.initiator && s.state == waiting && s.round == 0 && s.failIfNoReply(m):
	case m.attempt != s.attempt:
	case m.typ == pb.Message_FLIGHT:
		s.onPeerFlight(m.flight)
	case m.typ == pb.Message_DONE:
		s.onDone(m)
	case s.initiator:
		s.onInitiatorMessage(m)
	default:
		s.onResponderMessage(m)
	}
}

// onDone handles the peer's last message.
func (s *session) onDone(m *message) {
	switch {
	case s.chosen && !s.flightAwaited && m.status != StatusOK:
		// The connection and the handshake on it decide.
	case m.status != StatusOK:
		s.fail(s.op(), m.refusal())
	case !s.initiator && s.state == preparing && s.round == 0:
		s.fail("offer", ErrElsewhere) // as the peer says: it cannot have chosen a connection yet
	case !s.initiator && !s.doneHeard:
		s.doneHeard = true
		if s.state == preparing {
			s.state = punching // the choice is of an earlier round, so that this one is not needed
		}
		s.do.setTimer(choiceTimer, choiceDelay)
	case !s.initiator: // once is enough
	case s.state != punching || s.chosen && !s.flightAwaited:
	case s.elsewhere == elsewhereAsked || s.elsewhere == elsewhereTold:
		s.elsewhere = elsewhereTold // its own means may be about to succeed
	default:
		s.fail("open", ErrElsewhere) // as the peer says
	}
}

// refusal returns what a message with a status other than OK says.
func (m *message) refusal() *RemoteError {
	return &RemoteError{Status: m.status, Detail: m.detail, Behaviour: m.behaviour}
}

// onSignalLost handles the end of the signalling. m is the message that was malformed, or nil.
// It is no reason to stop a punch, which is all that is left when the relayed connection has gone.
// But without the peer's flight there can be no handshake.
func (s *session) onSignalLost(m *message, err error) {
	s.signalLost = true
	if s.state == receiving && m != nil {
		s.attempt = m.attempt
	}
	switch {
	case s.state == receiving, s.state == preparing, s.state == waiting:
		s.fail(s.op(), err)
	case s.elsewhere == elsewhereTold: // onElsewhere decides
	case s.doneHeard && !s.chosen && s.flightAwaited && errors.Is(err, io.EOF):
		s.fail("open", ErrElsewhere) // an initiator that has chosen sends FLIGHT before it closes
	case s.flightAwaited, s.flightState == flightFailed:
		s.fail("handshake", err)
	}
}

// send writes a message that an attempt does not depend on, and waits doneTimeout at most. After a
// message that could not be written the session writes no more.
func (s *session) send(m *message) error { return s.sendWithin(doneTimeout, m) }

func (s *session) sendWithin(timeout time.Duration, m *message) error {
	if s.sendFailed {
		return fmt.Errorf("%w: an earlier message could not be sent", ErrSignalLost)
	}
	m.attempt = s.attempt
	err := s.do.send(m, timeout)
	s.sendFailed = err != nil
	return err
}

// sendOrFail writes a message without which there is no punch, and reports whether that is done.
func (s *session) sendOrFail(op string, m *message) bool {
	err := s.sendWithin(answerTimeout, m)
	if err != nil {
		s.fail(op, err)
	}
	return err == nil
}
