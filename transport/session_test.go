package transport

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// FuzzSession has a hostile peer say what a fuzzer wants, in any order, to an initiator, to a responder and to
// one who asks for an attempt. All is as in an attempt but for the sockets: no connection comes up. Whatever the
// peer says, the attempt ends in its time and with one reason, nothing is left of it, and it has stayed within
// its bounds. Time is a bubble's: a minute takes as long as the messages in it.
func FuzzSession(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(sessions)) {
		f.Add(sessions[name])
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		program = program[:min(len(program), 1<<10)] // what follows does nothing new
		synctest.Test(t, func(t *testing.T) { runSession(t, program) })
	})
}

// A session is an attempt on our side.
type session struct {
	*testing.T
	stream holepunch.Stream
	kind   byte // of our NAT, and whether we guess
	rounds []int
}

func runSession(t *testing.T, program []byte) {
	toUs, fromPeer := net.Pipe()
	fromUs, toPeer := net.Pipe()
	p := &hostilePeer{T: t, out: toUs, in: toPeer, program: program}
	role := p.byte()
	s := &session{T: t, stream: &twoPipes{in: fromPeer, out: fromUs}, kind: role >> 2}
	over := make(chan struct{})
	speaks, hears := make(chan struct{}), make(chan struct{})
	p.over, p.attempt, p.deaf = over, make(chan []byte, 1), make(chan struct{})
	go func() {
		defer close(speaks)
		p.speak()
	}()
	go func() {
		defer close(hears)
		p.hear()
	}()

	begin := time.Now()
	var err error
	switch role & 3 % 3 {
	case 0:
		err = s.respond()
	case 1:
		err = s.initiate()
	case 2:
		ctx, cancel := context.WithTimeout(t.Context(), defaultTimeout)
		err = holepunch.Request(ctx, s.stream)
		cancel()
	}
	// An attempt of ours and securedSoon; and a stuck write of the last ANSWER, and of DONE.
	if took, bound := time.Since(begin), 2*holepunch.AnswerTimeout+defaultTimeout+securedSoon+2*time.Second; took > bound {
		t.Errorf("took %v, at most %v was to be", took, bound)
	}
	t.Logf("after %v: %v", time.Since(begin), err)
	s.typed(err)
	close(over)
	for _, c := range []net.Conn{fromPeer, fromUs} {
		c.Close()
	}
	<-speaks
	<-hears
	p.check()
}

// typed checks that an error says why.
func (s *session) typed(err error) {
	var remote *holepunch.RemoteError
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, errConnectedThere):
	case errors.As(err, &remote) && (remote.Status == pb.Status_GLARE || remote.Status == pb.Status_CANCELLED):
	case holepunch.ReasonOf(err) == "":
		s.Errorf("no reason: %v", err)
	}
}

// attempt is ours, behind one of several NATs.
func (s *session) attempt(dir network.Direction) *attempt {
	cfg, err := newConfig(nil)
	if err != nil {
		s.Fatal(err)
	}
	tr := newTransport(nil, defaultParts, nil, nil, newRanker(false), cfg)
	tr.cancel()
	own := &stance{port: new(tcpport.Port), release: func() {}}
	own.terms.Candidates = holepunch.Reflexive(addrPorts("46.0.1.1:40000")...)
	switch s.kind % 4 {
	case 1:
		own.terms.Behaviour = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Preserved}
	case 2:
		own.terms.Behaviour = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}
		own.terms.Guessing = true
	case 3:
		own.terms.Behaviour = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, BareSYN: stun.No, Hairpin: stun.No}
	}
	return &attempt{report: &report{t: tr, peer: "peer", dir: dir, began: time.Now()}, own: own}
}

// bounded checks what the peer has made of us, and that rounds go forward.
func (s *session) bounded(a *attempt) {
	if len(s.rounds) > 0 && a.round <= s.rounds[len(s.rounds)-1] || a.round > holepunch.MaxRounds {
		s.Errorf("round %d comes after %v", a.round, s.rounds)
	}
	s.rounds = append(s.rounds, a.round)
}

func (s *session) boundedCandidates(a *attempt) {
	if len(a.remote) > holepunch.MaxCandidates || len(a.theirs.Candidates) > holepunch.MaxCandidates {
		s.Errorf("%d candidates, of %d named", len(a.remote), len(a.theirs.Candidates))
	}
	for _, c := range a.remote {
		if ip := c.Addr.Addr(); c.Addr.Port() < 1024 || !ip.IsValid() || ip.IsPrivate() && c.Kind != pb.Candidate_LAN || ip.IsLoopback() {
			s.Errorf("%v is admitted", c)
		}
	}
}

// respond is Transport.respond and what that calls, without host and sockets.
func (s *session) respond() error {
	offer, err := holepunch.Receive(s.Context(), s.stream)
	if err != nil {
		return err
	}
	if offer.Request {
		offer.Done(holepunch.ErrNoAddress, "")
		return nil
	}
	ctx, cancel := context.WithTimeout(s.Context(), defaultTimeout+securedSoon)
	defer cancel()
	a := s.attempt(network.DirInbound)
	a.signal = offer.Signal
	defer a.release()
	if err := a.accept(ctx, offer.Terms); err != nil {
		return err
	}
	defer a.hear(ctx)()
	for {
		s.bounded(a)
		err := s.serve(ctx, a)
		var again *retried
		if !errors.As(err, &again) {
			a.signal.Done(err, words(err))
			return err
		}
		a.round = again.news.Round
		if err := a.accept(ctx, again.news.Terms); err != nil {
			return err
		}
	}
}

func (s *session) serve(ctx context.Context, a *attempt) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	more, cross := make(chan []holepunch.Candidate), make(chan struct{})
	a.punch()
	end := a.obey(ctx, stop, more, cross)
	err := s.window(ctx, holepunch.Window, more)
	end()
	s.boundedCandidates(a)
	return a.explain(err)
}

// window is a punch to which nobody comes.
func (s *session) window(ctx context.Context, length time.Duration, more <-chan []holepunch.Candidate) error {
	err := &holepunch.PunchError{Op: "open", Err: holepunch.ErrNoConnection}
	window := time.After(length)
	for {
		select {
		case <-more:
		case <-window:
			return err
		case <-ctx.Done():
			err.Err = context.Cause(ctx)
			return err
		}
	}
}

// initiate is Transport.dial and what that calls, in the same way.
func (s *session) initiate() (err error) {
	ctx, cancel := context.WithTimeout(s.Context(), defaultTimeout)
	defer cancel()
	a := s.attempt(network.DirOutbound)
	defer a.release()
	begin := time.Now()
	signal, theirs, err := holepunch.Offer(ctx, s.stream, a.own.terms, netip.AddrPort{})
	if err != nil {
		return err
	}
	a.signal, a.relayedRTT = signal, time.Since(begin)
	defer func() { signal.Done(err, words(err)) }()
	defer a.hear(ctx)()
	for begin := time.Now(); ; {
		s.bounded(a)
		if err := a.admit(theirs); err != nil {
			return err
		}
		s.boundedCandidates(a)
		if a.sameSite() {
			a.signal.More(a.own.allowed(holepunch.Reflexive(addrPorts("192.168.1.7:40000")...)))
		}
		err := s.open(ctx, a)
		if !a.again(ctx, begin, err) {
			return err
		}
		a.round++
		if err := a.signal.Retry(a.round, a.own.terms); err != nil {
			return err
		}
		if theirs, err = a.answer(ctx); err != nil {
			return err
		}
	}
}

func (s *session) open(ctx context.Context, a *attempt) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer a.minding(ctx, stop)()
	cross := make(chan struct{})
	defer a.crossing(ctx, stop, cross)()
	length := holepunch.Window
	if a.foretold() {
		length = foretoldWindow
	}
	return a.explain(s.window(ctx, length, nil))
}

// twoPipes is a stream whose directions end by themselves.
type twoPipes struct{ in, out net.Conn }

func (p *twoPipes) Read(b []byte) (int, error)         { return p.in.Read(b) }
func (p *twoPipes) Write(b []byte) (int, error)        { return p.out.Write(b) }
func (p *twoPipes) SetReadDeadline(t time.Time) error  { return p.in.SetReadDeadline(t) }
func (p *twoPipes) SetWriteDeadline(t time.Time) error { return p.out.SetWriteDeadline(t) }
func (p *twoPipes) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// sessions are programs to begin with. The first byte says who we are: 0 a responder, 1 an initiator, 2 one who
// has asked, and our NAT with it. Of a message follow what is wrong with it, its round and
// features, the number of candidates with the peer's NAT, and the candidates.
var sessions = map[string][]byte{
	"an attempt":                   {0, 1, 0, 0, 1, 1, 0, stepWait, 10, 4, 0, 0, 0},
	"gives up":                     {0, 1, 0, 0, 1, 1, 0, stepWait, 10, 4, 6 << 4, 0, 0},
	"done, then more":              {0, 1, 0, 0, 1, 1, 0, 4, 0, 0, 0, 4, 6 << 4, 0, 0, 3, 0, 1, 1, 1, 0, 6, 0, 0, 1, 4, 5},
	"rounds":                       {0, 1, 0, 0, 1, 1, 0, 3, 0, 1, 1, 1, 0, 3, 0, 3, 1, 1, 0, 3, 0, 2, 1, 1, 0, 3, 0, 8, 1, 1, 0},
	"RETRY, a hundred times":       {0, 1, 0, 0, 1, 1, 0, 3, 0, 1, 1, 1, 0, stepAgain, 100},
	"CANDIDATES, a hundred times":  {0, 1, 0, 0, 1, 1, 3, 6, 0, 0, 8, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, stepAgain, 100},
	"CROSS, twice":                 {0, 1, 0, 0, 1, 1, 0, 8, 0, 0, 0, stepAgain, 1},
	"an unknown type":              {0, 1, 0, 0, 1, 1, 0, 9, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0},
	"too many candidates":          {0, 1, 0, 0, 9, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0},
	"half a message":               {0, stepCut, 1, 0, 0, 1, 1, 0, stepClose},
	"half a message later":         {0, 1, 0, 0, 1, 1, 0, stepCut, 4, 0, 0, 0, stepClose},
	"endless":                      {0, stepEndless, 200},
	"too long":                     {0, 1, 4, 0, 1, 1, 0},
	"a request":                    {0, 5, 0, 0, 0},
	"an answer":                    {1, 2, 0, 0, 1, 1, 0, stepWait, 100},
	"an answer, deaf":              {1, 2, 0, 0, 1, 1, 0, stepDeaf},
	"deaf from the beginning":      {1, stepDeaf, stepWait, 60},
	"an answer of another attempt": {1, 2, 1, 0, 1, 1, 0},
	"a refusal of no known kind":   {1, 2, 15 << 4, 0, 0},
	"refused twice":                {1, 2, 0, 0, 1, 1, 0, 2, 3 << 4, 0, 0, 2, 6 << 4, 0, 0},
	"answers to each round":        {1 | 1<<2, 2, 0, 0, 1, 2, 0, stepWait, 16, 2, 0, 1, 1, 2, 0, stepWait, 16, 2, 0, 2, 1, 2, 0},
	"of our site":                  {1, 2, 0, 0, 2, 1, 3, 4, 5, stepWait, 100},
	"asked, and done":              {2, 4, 0, 0, 0},
	"asked, and refused":           {2, 4, 9 << 4, 0, 0},
}

// TestSessions runs them by name.
func TestSessions(t *testing.T) {
	for name, program := range sessions {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runSession(t, program) })
		})
	}
}
