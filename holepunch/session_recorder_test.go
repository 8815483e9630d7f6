package holepunch

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A recorder is an outside that keeps what a session does, as words.
type recorder struct {
	did    []string
	sent   []*message
	rounds []roundSpec
	err    *PunchError    // of finish
	timers [numTimers]int // how often each was set
	armed  [numTimers]time.Duration
	within time.Duration // for the last message

	sendErr, admitErr, guessErr error
	filter                      func([]punch.Candidate) ([]punch.Candidate, error)
	lan                         []punch.Candidate
	quietFor                    time.Duration // returned by quiet
	up, chosen                  bool          // returned by connected
}

func (r *recorder) note(format string, a ...any) { r.did = append(r.did, fmt.Sprintf(format, a...)) }

func (r *recorder) gather(fresh bool) {
	if fresh {
		r.note("gather fresh")
	} else {
		r.note("gather")
	}
}

func (r *recorder) predict()                              { r.note("predict") }
func (r *recorder) startHandshake(p string, f []byte)     { r.note("start handshake %s %q", p, f) }
func (r *recorder) restartHandshake(p string)             { r.note("restart handshake %s", p) }
func (r *recorder) continueHandshake(f []byte)            { r.note("continue handshake %q", f) }
func (r *recorder) expect(punch.Token)                    { r.note("expect") }
func (r *recorder) connectWith(punch.Token)               { r.note("connect with") }
func (r *recorder) addCandidates(cs []punch.Candidate)    { r.note("add %v", addrsOf(cs)) }
func (r *recorder) quiet() time.Duration                  { return r.quietFor }
func (r *recorder) connected() (up, chosen bool)          { return r.up, r.chosen }
func (r *recorder) cross(quiet, later time.Duration)      { r.note("cross %v %v", quiet, later) }
func (r *recorder) endRound()                             { r.note("end round") }
func (r *recorder) stopConnects()                         { r.note("stop connects") }
func (r *recorder) findEgress(as []netip.AddrPort)        { r.note("find egress %v", as) }
func (r *recorder) elsewhere(as []netip.AddrPort, p bool) { r.note("elsewhere %v %v", as, p) }
func (r *recorder) setTimer(t timer, d time.Duration)     { r.timers[t]++; r.armed[t] = d }
func (r *recorder) trace(e Event)                         { r.note("trace %s", e.Kind) }
func (r *recorder) deliver()                              { r.note("deliver") }
func (r *recorder) admitPeer() error                      { return r.admitErr }
func (r *recorder) lanCandidates() []punch.Candidate      { return r.lan }
func (r *recorder) beginGuess() error                     { return r.guessErr }

func (r *recorder) links() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")}
}

func (r *recorder) startRound(spec roundSpec) {
	r.note("round %d", spec.number)
	r.rounds = append(r.rounds, spec)
}

func (r *recorder) finish(err *PunchError) {
	r.err = err
	if err == nil {
		r.note("finish")
	} else {
		r.note("fail")
	}
}

func (r *recorder) send(m *message, within time.Duration) error {
	r.within = within
	words := m.typ.String()
	if m.status != StatusOK {
		words += " " + m.status.String()
	}
	r.note("%s", words)
	r.sent = append(r.sent, m)
	return r.sendErr
}

func (r *recorder) filterRemote(cs []punch.Candidate) ([]punch.Candidate, error) {
	if r.filter != nil {
		return r.filter(cs)
	}
	return cs, nil
}

// want checks what a session has done since the last call.
func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.did, want) {
		t.Errorf("did %q, want %q", r.did, want)
	}
	r.did = nil
}

// newSession returns a session that has begun, of an attempt with the ID of the vectors.
func newSession(initiator bool, protocols ...string) (*session, *recorder) {
	r := new(recorder)
	s := &session{do: r, initiator: initiator, token: offerToken, protocols: protocols, timeout: time.Minute, window: maxWindow, now: time.Unix(1000, 0)}
	if initiator {
		s.state, s.attempt = preparing, testID
	} else {
		s.token = answerToken
	}
	s.start()
	return s, r
}

// received returns a vector as the other side reads it, with a change.
func received(name string, changes ...func(*message)) *message {
	m := vectors()[name]
	for _, change := range changes {
		change(m)
	}
	return m
}

// plain leaves the handshake out of a message.
func plain(m *message) { m.protocols = nil }

// replying makes a FLIGHT the responder's.
func replying(m *message) { m.flight = answerFlight }

func behind(b stun.Behaviour) func(*message) { return func(m *message) { m.behaviour = b } }
func inStatus(s Status) func(*message)       { return func(m *message) { m.status = s } }
func inRound(n int) func(*message)           { return func(m *message) { m.round = n } }
func of(cs ...punch.Candidate) func(*message) {
	return func(m *message) { m.candidates = cs }
}

// punchingSession returns one that is in its first round, and has no handshake.
func punchingSession(t *testing.T, initiator bool, own description, changes ...func(*message)) (*session, *recorder) {
	t.Helper()
	s, r := newSession(initiator)
	changes = append([]func(*message){plain}, changes...)
	if initiator {
		s.onGathered(own, 40000, nil)
		s.onMessage(received("answer", changes...))
	} else {
		s.onMessage(received("offer", changes...))
		s.onGathered(own, 40000, nil)
	}
	if s.state != punching {
		t.Fatalf("did %q", r.did)
	}
	r.did = nil
	return s, r
}
