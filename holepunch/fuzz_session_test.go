package holepunch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// FuzzSession has a hostile peer say what a fuzzer wants, in any order, to an initiator and to a
// responder. All is as in an attempt but for the sockets: no connection comes up. Whatever the peer
// says, the attempt ends in its time and with one reason, nothing is left of it, and it has stayed
// within its bounds. Time is a bubble's: a minute takes as long as the messages in it.
func FuzzSession(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		f.Add(programs[name])
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		program = program[:min(len(program), 1<<10)] // what follows does nothing new
		synctest.Test(t, func(t *testing.T) { runProgram(t, program) })
	})
}

// TestPrograms runs those to begin with by name.
func TestPrograms(t *testing.T) {
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runProgram(t, program) })
		})
	}
}

func runProgram(t *testing.T, program []byte) {
	toUs, fromPeer := net.Pipe()
	fromUs, toPeer := net.Pipe()
	p := &hostilePeer{T: t, out: toUs, in: toPeer, program: program}
	role := p.byte()
	h := &fakeHost{T: t, kind: role >> 1 & 7}
	a := h.agent()
	p.over, p.attempt, p.deaf = make(chan struct{}), make(chan *pb.Message, 1), make(chan struct{})
	var peer sync.WaitGroup
	peer.Go(p.speak)
	peer.Go(p.hear)

	o := &Options{Peer: "peer"}
	if role&16 != 0 {
		o.Handshake = &Handshake{Protocols: []string{"a", "b"}, Run: script{10, 10, 10}.run}
	}
	if role&32 != 0 {
		o.Elsewhere = func(ctx context.Context, _ []netip.AddrPort, _ bool) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}
	begin := time.Now()
	var err error
	s := &twoPipes{in: fromPeer, out: fromUs}
	if role&1 == 0 {
		_, err = a.Accept(t.Context(), s, o)
	} else {
		_, err = a.Dial(t.Context(), s, o)
	}
	// The whole attempt; the OFFER before that; and stuck writes of FLIGHT or the last ANSWER, and
	// of DONE.
	if took, bound := time.Since(begin), 2*answerTimeout+defaultTimeout+choiceDelay+2*time.Second; took > bound {
		t.Errorf("took %v, want %v at most", took, bound)
	}
	t.Logf("after %v: %v", time.Since(begin), err)
	wantReason(t, err)
	close(p.over)
	for _, c := range []net.Conn{fromPeer, fromUs} {
		c.Close()
	}
	peer.Wait()
	p.check()
	h.check(a)
}

// wantReason checks that an attempt has failed, and for one reason.
func wantReason(t *testing.T, err error) {
	t.Helper()
	var remote *RemoteError
	switch {
	case err == nil:
		t.Error("there is a connection")
	case errors.Is(err, context.DeadlineExceeded):
	case errors.As(err, &remote) && remote.Status == StatusCancelled:
	case ReasonOf(err) == "":
		t.Errorf("no reason: %v", err)
	}
	wantPunchError(t, err)
}

// A fakeHost is behind one of several NATs, and has no sockets.
type fakeHost struct {
	*testing.T
	kind byte

	mu       sync.Mutex
	held     int // descriptions that were not released
	rounds   []punch.Round
	open     int // rounds under way
	expected int // tokens
}

func (h *fakeHost) agent() *Agent {
	a := &Agent{
		timeout:  defaultTimeout,
		limiter:  newLimiter(Limits{}),
		receiver: punch.NewReceiver(),
		gatherer: gather.New(gather.Config{Log: slog.Default()}), // idle
		gather:   h.gather,
		predict:  h.predict,
		release: func(*gather.Description) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.held--
		},
		open: h.openRound,
		expect: func(punch.Token, func(*net.TCPConn)) func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.expected++
			return func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.expected--
			}
		},
		lanCandidates: func(uint16) []punch.Candidate { return candidates(punch.LAN, "192.168.1.7:40000") },
		egress:        func(context.Context, []netip.AddrPort) (stun.Fact, error) { return stun.Fact(h.kind % 3), nil },
		gotOut:        func(*gather.Description, netip.Addr, netip.AddrPort) {},
		learnt:        func(d *gather.Description) stun.Behaviour { return d.Behaviour },
	}
	a.guessing = h.kind == 2
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

func (h *fakeHost) gather(ctx context.Context, _ gather.Options) (*gather.Description, error) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d := &gather.Description{
		Ports: []*tcpport.Port{new(tcpport.Port)}, Candidates: reflexive(addrs("46.0.1.1:40000")...),
		Links: []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")},
	}
	switch h.kind {
	case 1:
		d.Behaviour = preserving
	case 2:
		d.Behaviour = random
	case 3:
		d.Behaviour = stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, BareSYN: stun.No, Hairpin: stun.No}
	case 4:
		d.Behaviour, d.Following = sequential, true
	case 5:
		return nil, gather.ErrNoAddress
	case 6:
		return nil, tcpport.ErrShort
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held++
	return d, nil
}

func (h *fakeHost) predict(d *gather.Description, ctx context.Context) (*gather.Description, error) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	predicted := *d
	predicted.Candidates, predicted.Following = candidates(punch.Predicted, "46.0.1.1:50001", "46.0.1.1:50002"), false
	return &predicted, nil
}

// A fakeRound is one without connections.
type fakeRound struct {
	host *fakeHost
	ctx  context.Context
}

func (h *fakeHost) openRound(ctx context.Context, r punch.Round) opening {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds = append(h.rounds, r)
	h.open++
	h.checkCandidates(r.Remote)
	return &fakeRound{h, ctx}
}

func (h *fakeHost) checkCandidates(cs []punch.Candidate) {
	if len(cs) > punch.MaxCandidates+stun.BlockSize-1 {
		h.Errorf("%d candidates", len(cs))
	}
	for _, c := range cs {
		if ip := c.Addr.Addr(); c.Addr.Port() < 1024 || !ip.IsValid() || ip.IsPrivate() && c.Kind != punch.LAN || ip.IsLoopback() || c.Kind == punch.Listener {
			h.Errorf("%v is connected to", c)
		}
	}
}

func (r *fakeRound) Add(cs []punch.Candidate) { r.host.checkCandidates(cs) }
func (r *fakeRound) Refused() <-chan struct{} { return nil }
func (r *fakeRound) Quiet() time.Duration     { return 0 }
func (r *fakeRound) Cross(_, _ time.Duration) {}
func (r *fakeRound) Short() <-chan struct{}   { return nil }
func (r *fakeRound) Failing() <-chan struct{} { return nil }

// Spoiled has an initiator begin another round, where nothing else does.
func (r *fakeRound) Spoiled() <-chan struct{} {
	spoiled := make(chan struct{})
	close(spoiled)
	return spoiled
}

func (r *fakeRound) Wait() punch.Result {
	<-r.ctx.Done()
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	r.host.open--
	return punch.Result{Connects: 1, Err: errors.New("timeout")}
}

// check checks that an attempt has left nothing behind.
func (h *fakeHost) check(a *Agent) {
	h.mu.Lock()
	held, open, rounds, expected := h.held, h.open, len(h.rounds), h.expected
	h.mu.Unlock()
	if held != 0 || open != 0 || expected != 0 {
		h.Errorf("%d descriptions, %d rounds and %d tokens are left", held, open, expected)
	}
	if rounds > maxRounds+1 {
		h.Errorf("%d rounds", rounds)
	}
	if a.limiter.attempts != 0 || len(a.limiter.of) != 0 || a.limiter.guessing {
		h.Errorf("the limiter counts %d attempts, of %v, guessing %v", a.limiter.attempts, a.limiter.of, a.limiter.guessing)
	}
	if err := a.Close(); err != nil {
		h.Error(err)
	}
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

// programs are those to begin with. The first byte is about us: 0 a responder, 1 an initiator, our
// NAT with it, and whether there is a handshake. Of a message follow what is wrong with it, its
// round and features, the number of candidates with the peer's NAT, and the candidates.
var programs = map[string][]byte{
	"an attempt":                       {0, 1, 0, 0, 1, 1, 0, stepWait, 10, 4, 0, 0, 0},
	"with a handshake":                 {16, 1, 6, 0, 1, 1, 0, stepWait, 10, 8, 6, 0, 0, stepWait, 10, 4, 0, 0, 0},
	"FLIGHT, then OFFER":               {16, 8, 6, 0, 0, 1, 6, 0, 1, 1, 0},
	"FLIGHT, a hundred times":          {16, 1, 6, 0, 1, 1, 0, 8, 6, 0, 0, stepAgain, 100},
	"a flight that is too long":        {16, 1, 6, 0, 1, 1, 0, stepWait, 10, 8, 11, 0, 0, stepWait, 100},
	"with another handshake":           {16, 1, 7, 0, 1, 1, 0, stepWait, 10, 4, 0, 0, 0},
	"with no handshake of ours":        {0, 1, 6, 0, 1, 1, 0, stepWait, 10},
	"elsewhere":                        {32, 1, 0, 0, 1, 3, 0, stepWait, 10, 4, 0, 0, 0},
	"no address of ours":               {5 << 1, 1, 0, 0, 1, 1, 0},
	"gives up":                         {0, 1, 0, 0, 1, 1, 0, stepWait, 10, 4, 6 << 4, 0, 0},
	"gives up at once":                 {0, 1, 0, 0, 1, 1, 0, 4, 6 << 4, 0, 0},
	"done, then more":                  {0, 1, 0, 0, 1, 1, 0, 4, 0, 0, 0, 4, 6 << 4, 0, 0, 3, 0, 1, 1, 1, 0, 5, 0, 0, 1, 4, 5},
	"rounds":                           {0, 1, 0, 0, 1, 1, 0, 3, 0, 1, 1, 1, 0, 3, 0, 3, 1, 1, 0, 3, 0, 2, 1, 1, 0, 3, 0, 8, 1, 1, 0},
	"rounds in time":                   {0, 1, 0, 0, 1, 1, 0, stepWait, 2, 3, 0, 1, 1, 1, 0, stepWait, 2, 3, 0, 3, 1, 1, 0, stepWait, 2},
	"RETRY after DONE":                 {0, 1, 0, 0, 1, 1, 0, stepWait, 2, 3, 0, 1, 1, 1, 0, 4, 0, 0, 0, stepWait, 2, 3, 0, 2, 1, 1, 0, stepWait, 100},
	"RETRY, a hundred times":           {0, 1, 0, 0, 1, 1, 0, 3, 0, 1, 1, 1, 0, stepAgain, 100},
	"CANDIDATES, a hundred times":      {0, 1, 0, 0, 1, 1, 3, stepWait, 2, 5, 0, 0, 8, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5, stepAgain, 100},
	"CROSS, twice":                     {0, 1, 0, 0, 1, 1, 0, stepWait, 2, 7, 0, 0, 0, stepAgain, 1},
	"an unknown type":                  {0, 1, 0, 0, 1, 1, 0, 9, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0},
	"too many candidates":              {0, 1, 0, 0, 9, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0},
	"half a message":                   {0, stepCut, 1, 0, 0, 1, 1, 0, stepClose},
	"half a message later":             {0, 1, 0, 0, 1, 1, 0, stepCut, 4, 0, 0, 0, stepClose},
	"endless":                          {0, stepEndless, 200},
	"too long":                         {0, 1, 4, 0, 1, 1, 0},
	"without a token":                  {0, 1, 8, 0, 1, 1, 0},
	"an answer":                        {1, 2, 0, 0, 1, 1, 0, stepWait, 100},
	"an answer with a flight":          {17, 2, 6, 0, 1, 1, 0, 8, 6, 0, 0, stepWait, 100},
	"an answer without a flight":       {17, 2, 6, 0, 1, 1, 0, stepWait, 100},
	"a flight before the answer":       {17, 8, 6, 0, 0, 2, 6, 0, 1, 1, 0, stepWait, 100},
	"an answer with another":           {17, 2, 7, 0, 1, 1, 0, stepWait, 100},
	"an answer without handshake":      {17, 2, 0, 0, 1, 1, 0, stepWait, 100},
	"an answer without a token":        {1, 2, 8, 0, 1, 1, 0},
	"an answer with our token":         {1, 2, 9, 0, 1, 1, 0},
	"an answer, deaf":                  {1, 2, 0, 0, 1, 1, 0, stepDeaf},
	"an answer, and candidates follow": {1 | 4<<1, 2, 0, 0, 1, 1, 0, stepWait, 100},
	"an offer":                         {1, 1, 0, 0, 1, 1, 0},
	"deaf from the beginning":          {1, stepDeaf, stepWait, 60},
	"an answer of another attempt":     {1, 2, 1, 0, 1, 1, 0},
	"a refusal of no known kind":       {1, 2, 15 << 4, 0, 0},
	"refused twice":                    {1, 2, 3 << 4, 0, 0, 2, 6 << 4, 0, 0},
	"answers to each round":            {1 | 1<<1, 2, 0, 0, 1, 2, 0, stepWait, 16, 2, 0, 1, 1, 2, 0, stepWait, 16, 2, 0, 2, 1, 2, 0},
	"of our site":                      {1, 2, 0, 0, 2, 1, 3, 4, 5, stepWait, 100},
	"impossible":                       {1 | 2<<1, 2, 8 << 4, 0, 0xf0, 0, 0},
}
