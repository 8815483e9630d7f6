package punch

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// defaultCopyTimeout bounds the time to the peer's token, which comes within a round trip, or a
	// second more for each packet that is lost. It is there because a NAT may drop the mapping of a
	// connection that is just up, when a late RST passes it: both ends have the connection then, and
	// neither hears of the other. Another one is made in the attempt's time.
	defaultCopyTimeout = 5 * time.Second

	// defaultChoiceTimeout bounds the time in which a responder's application may already use a
	// stream that the initiator does not have. The initiator takes defaultCopyTimeout to give up a
	// connection on which it hears nothing; 3 s more are enough to make another and choose it. Each
	// connection that is confirmed has as long, as one of another round may come up late; but a peer
	// must not keep a stream by making one after another, so that twice as long is the most in all.
	defaultChoiceTimeout = defaultCopyTimeout + 3*time.Second

	// defaultFlushTimeout bounds the time that Close takes to send what was kept and is not sent
	// yet. The system's send buffer has room for it, so that Close takes no time, unless the peer
	// reads nothing.
	defaultFlushTimeout = 2 * time.Second
)

// StreamConfig is what a [Stream] is made from.
type StreamConfig struct {
	Initiator bool
	Token     Token // that the peer's connections have to show

	// Admit is asked for each connection that has shown the right token, before the stream uses
	// it: before an initiator chooses it, and before a responder confirms it. An initiator may have
	// chosen by then what the responder's Admit refuses. Accepted reports whether the connection
	// was accepted and not connected. An error ends the stream. Calls come from several goroutines,
	// one for each connection. Nil admits all.
	Admit func(c *net.TCPConn, accepted bool) error

	// Trace is called with what becomes of a connection; nil for none.
	Trace Trace

	// Set by tests; 0 means the default. A responder waits choiceTimeout for the choice after it
	// has confirmed a connection, the last one if there are more, and twice that in all at most.
	choiceTimeout, copyTimeout, flushTimeout time.Duration
}

// A Stream is the connection that an attempt ends with. Until the initiator has chosen a TCP
// connection, every one that is up carries a copy of the same bytes; see the package comment.
// After the choice Read and Write go straight to the chosen [net.TCPConn].
//
// Before the choice Write keeps up to 64 KiB; a Write that does not fit waits for the choice as a
// whole. Read blocks until a connection delivers something. LocalAddr and RemoteAddr are those of
// the chosen connection. Before the choice they are those of the first connection that a responder
// has confirmed, or unspecified TCP addresses.
type Stream struct {
	cfg StreamConfig

	// Where Read and Write go to when nothing that was kept is left to be read and sent.
	readFrom, writeTo atomic.Pointer[net.TCPConn]

	chosen, usable, done chan struct{} // usable is the responder's

	mu            sync.Mutex
	choice        choice
	conn          *copyConn      // the chosen one
	first         *net.TCPConn   // the first that a responder has confirmed
	spares        []*net.TCPConn // that were not chosen and are reset by Close; see isSpare
	choiceTimer   *time.Timer    // of a responder that has confirmed a connection
	choiceLimit   time.Time      // the latest that choiceTimer is set to
	changed       chan struct{}  // closed and replaced by each change
	readDeadline  time.Time
	writeDeadline time.Time
}

var _ net.Conn = (*Stream)(nil)

// NewStream returns a stream without connections. It must be closed, or ended by [Stream.Fail].
func NewStream(cfg StreamConfig) *Stream {
	cfg.choiceTimeout = cmp.Or(cfg.choiceTimeout, defaultChoiceTimeout)
	cfg.copyTimeout = cmp.Or(cfg.copyTimeout, defaultCopyTimeout)
	cfg.flushTimeout = cmp.Or(cfg.flushTimeout, defaultFlushTimeout)
	if cfg.Admit == nil {
		cfg.Admit = func(*net.TCPConn, bool) error { return nil }
	}
	if cfg.Trace == nil {
		cfg.Trace = func(Step, uint16, netip.AddrPort, error) {}
	}
	return &Stream{
		cfg:     cfg,
		choice:  choice{initiator: cfg.Initiator, token: cfg.Token},
		chosen:  make(chan struct{}),
		usable:  make(chan struct{}),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
}

// SetPeerToken sets the token with which connections to the peer open. Connections that come up
// before, which an initiator's may before it has read the ANSWER, wait for it.
func (s *Stream) SetPeerToken(t Token) {
	s.update(func(k *choice) {
		for _, c := range slices.Clone(k.copies) {
			if c.admitted { // and not read, so that its end was not noticed
				s.dropEnded(c)
			}
		}
		k.open(t)
	})
}

// Usable is closed when the peer's bytes can arrive: at the initiator with the choice, at the
// responder when the first connection has shown the right token and was admitted.
func (s *Stream) Usable() <-chan struct{} {
	if s.cfg.Initiator {
		return s.chosen
	}
	return s.usable
}

// Chosen is closed when a connection was chosen.
func (s *Stream) Chosen() <-chan struct{} { return s.chosen }

// Done is closed when the stream has ended: by Close, Fail, an Admit that refused, a responder's
// choiceTimeout, or copies that differ. After the choice an error of the connection is the
// caller's to see, and does not close it.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err returns why the stream has ended, or nil.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.choice.err
}

// Fail ends the stream with an error unless a connection was chosen, and resets its connections.
// Calls of Serve return, with that error.
func (s *Stream) Fail(err error) { s.update(func(k *choice) { k.fail(err) }) }

// Settle waits until no connection is up that may still be chosen, or one was chosen, or ctx ends.
// At an initiator that takes the time to the peer's token at most; see StreamConfig.
func (s *Stream) Settle(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { s.update(func(*choice) {}) })()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := &s.choice; k.chosen == nil && len(k.copies) > 0 && ctx.Err() == nil; {
		s.wait(time.Time{})
	}
}

// Connected reports whether a connection is up that was not dropped, and whether it was chosen.
func (s *Stream) Connected() (up, chosen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.choice.copies) > 0, s.choice.chosen != nil
}

// TCPConn returns the chosen connection, or nil before the choice.
func (s *Stream) TCPConn() *net.TCPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	return s.conn.TCPConn
}

// LocalAddr returns the local address of the connection that is in use.
func (s *Stream) LocalAddr() net.Addr {
	if c := s.current(); c != nil {
		return c.LocalAddr()
	}
	return &net.TCPAddr{IP: net.IPv4zero}
}

// RemoteAddr returns the remote address of the connection that is in use.
func (s *Stream) RemoteAddr() net.Addr {
	if c := s.current(); c != nil {
		return c.RemoteAddr()
	}
	return &net.TCPAddr{IP: net.IPv4zero}
}

func (s *Stream) current() *net.TCPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		return s.conn.TCPConn
	}
	return s.first
}

// update changes the choice and does what follows from it.
func (s *Stream) update(change func(*choice)) {
	s.mu.Lock()
	k := &s.choice
	change(k)
	if k.chosen != nil && s.conn == nil {
		s.conn = k.chosen.conn
		s.conn.SetReadDeadline(s.readDeadline)
		close(s.chosen)
	}
	if k.err != nil {
		select {
		case <-s.done:
		default:
			close(s.done)
		}
	}
	if s.choiceTimer != nil && (k.chosen != nil || k.err != nil) {
		s.choiceTimer.Stop()
	}
	var reset, spares []*net.TCPConn
	for _, c := range k.dropped {
		if c := c.conn.TCPConn; s.isSpare(c) {
			spares = append(spares, c)
			s.spares = append(s.spares, c)
		} else {
			reset = append(reset, c)
		}
	}
	k.dropped = nil
	s.startWriters()
	s.broadcast()
	s.mu.Unlock()
	for _, c := range reset {
		tcpport.Reset(c)
	}
	for _, c := range spares {
		c.SetKeepAlive(false)
		c.SetDeadline(past) // ends readCopy and writeCopy
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// maxSpares bounds the connections that stay open beside the chosen one: with two ports at each
// side, two of four pairs share one with the chosen pair.
const maxSpares = 2

// isSpare reports whether a dropped connection stays open until Close: if it shares a port with the
// chosen one, at either side, and leads to the same IP address. Where a NAT forgets a port with a
// RST, the end of the one would be the end of the other. The caller holds s.mu.
func (s *Stream) isSpare(c *net.TCPConn) bool {
	if s.conn == nil || s.choice.err != nil || len(s.spares) == maxSpares {
		return false
	}
	chosen, other := tupleOf(s.conn.TCPConn), tupleOf(c)
	return other.remote == chosen.remote || other.port == chosen.port && other.remote.Addr() == chosen.remote.Addr()
}

// broadcast wakes all that wait for a change. The caller holds s.mu.
func (s *Stream) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits until something changes or the deadline passes. The caller holds s.mu, which is free
// meanwhile.
func (s *Stream) wait(deadline time.Time) {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	if deadline.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}
