package punch

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// readBuffer is how much is read from a copy at a time when a frame has begun: more than the
// flights of a handshake, which is all that most streams deliver before the choice. What else a
// copy has fits into a preamble's buffer, and many copies have nothing else.
const readBuffer = 4 << 10

// A copyConn is the connection of a copy. Stream.mu guards what it adds to that.
type copyConn struct {
	*net.TCPConn
	writing bool           // no other goroutine may begin to write
	writers sync.WaitGroup // one at a time, while there is something to send
	timer   *time.Timer    // until the peer's token is overdue, from this side's on
}

// Serve makes a TCP connection a copy of the stream. It owns conn and returns when conn was chosen,
// with nil, or is of no use, with the reason why: conn is reset then, or by Close if it shares a
// port with the chosen one. The [Receiver] has read the preamble of an accepted connection.
//
// A host with many punches has many goroutines that wait in here, so the frames are kept small.
func (s *Stream) Serve(conn *net.TCPConn, accepted bool) error {
	sc := &streamCopy{conn: &copyConn{TCPConn: conn}}
	if s.addCopy(sc, accepted) {
		s.readCopy(sc, accepted)
	}
	return s.endCopy(sc)
}

// addCopy adds a copy, and reports whether it is to be read.
func (s *Stream) addCopy(sc *streamCopy, accepted bool) (read bool) {
	step := Connected
	if accepted {
		step = Accepted
	}
	s.trace(step, sc, nil)
	s.update(func(k *choice) {
		k.add(sc, accepted)
		read = sc.dropped == nil
	})
	if read && accepted {
		read = s.admit(sc, accepted)
	}
	return read
}

// endCopy cleans up after a copy that was chosen or dropped, and returns why it was dropped. A
// chosen one may still be written to, which Stream.Close ends: an attempt does not wait for a peer
// that reads nothing.
func (s *Stream) endCopy(sc *streamCopy) error {
	s.mu.Lock()
	if t := sc.conn.timer; t != nil {
		t.Stop()
	}
	s.mu.Unlock()
	err := sc.dropped // nothing changes it any more
	if err == nil {
		s.trace(Chosen, sc, nil)
		return nil
	}
	s.trace(Dropped, sc, err)
	sc.conn.writers.Wait()
	return err
}

func (s *Stream) trace(step Step, sc *streamCopy, err error) {
	t := tupleOf(sc.conn.TCPConn)
	s.cfg.Trace(step, t.port, t.remote, err)
}

// admit asks the application whether a copy that has shown the right token may be used. It reports
// whether the copy is to be read: it was neither chosen nor dropped.
func (s *Stream) admit(sc *streamCopy, accepted bool) (read bool) {
	err := s.cfg.Admit(sc.conn.TCPConn, accepted)
	s.update(func(k *choice) {
		if err != nil {
			k.fail(err)
		}
		s.dropEnded(sc) // nobody notices its end while Admit runs
		if sc.dropped != nil {
			return
		}
		k.admit(sc)
		switch read = sc.dropped == nil && sc != k.chosen; {
		case s.cfg.Initiator:
		case s.first == nil:
			s.first = sc.conn.TCPConn
			close(s.usable)
			s.choiceTimer = time.AfterFunc(s.cfg.choiceTimeout, func() { s.Fail(ErrNoChoice) })
			s.choiceLimit = time.Now().Add(2 * s.cfg.choiceTimeout)
		default:
			s.choiceTimer.Reset(min(s.cfg.choiceTimeout, time.Until(s.choiceLimit)))
		}
	})
	return read
}

// dropEnded drops an initiator's copy that the other end has ended: the choice would be lost with
// it. The caller holds s.mu.
func (s *Stream) dropEnded(sc *streamCopy) {
	if !s.cfg.Initiator {
		return
	}
	if err := tcpport.Ended(sc.conn.TCPConn); err != nil {
		s.choice.drop(sc, err)
	}
}

// readCopy reads what comes in on a copy until it was chosen or dropped.
func (s *Stream) readCopy(sc *streamCopy, accepted bool) {
	buf := make([]byte, preambleLen)
	silent := !accepted
	for over := false; !over; {
		if sc.want() == 0 { // an initiator's, which does not know the peer's token yet
			s.mu.Lock()
			for sc.dropped == nil && sc != s.choice.chosen {
				s.wait(time.Time{})
			}
			s.mu.Unlock()
			return
		}
		if want := min(sc.want(), readBuffer); want > len(buf) {
			buf = make([]byte, want)
		}
		n, err := sc.conn.Read(buf[:min(sc.want(), len(buf))])
		silent = silent && n == 0
		var shown bool
		s.update(func(k *choice) {
			if n > 0 {
				shown = k.receive(sc, buf[:n])
			}
			switch {
			case err != nil && silent:
				k.drop(sc, fmt.Errorf("%w: %w", ErrHungUp, err))
			case err == io.EOF && sc.state == atPreamble:
				k.drop(sc, fmt.Errorf("%w: %w", ErrPreamble, io.ErrUnexpectedEOF))
			case err == io.EOF:
				k.drop(sc, io.ErrUnexpectedEOF)
			case err != nil:
				k.drop(sc, err)
			}
			over = sc.dropped != nil || sc == k.chosen
		})
		if shown && !over {
			over = !s.admit(sc, accepted)
		}
	}
}

// startWriters starts a writer for each copy that has something to send and no writer yet. The
// caller holds s.mu.
func (s *Stream) startWriters() {
	for _, sc := range s.choice.copies {
		if sc.conn.writing {
			continue
		}
		if b := s.unsent(sc, nil); len(b) > 0 {
			sc.conn.writers.Go(func() { s.writeCopy(sc, b) })
		}
	}
}

// writeCopy writes b and what is to be sent on a copy after that, until nothing is left.
func (s *Stream) writeCopy(sc *streamCopy, b []byte) {
	for len(b) > 0 {
		if _, err := sc.conn.Write(b); err != nil {
			// Reading fails as well, when all that came before is read. That may be the token.
			s.update(func(*choice) { sc.writeErr = err }) // and conn.writing stays: nothing more can be sent
			return
		}
		s.mu.Lock()
		b = s.unsent(sc, b[:0])
		s.mu.Unlock()
	}
}

// unsent appends what is to be sent on a copy, which the caller writes. If there is nothing and the
// copy was chosen, Write goes to the connection from now on. The caller holds s.mu.
func (s *Stream) unsent(sc *streamCopy, b []byte) []byte {
	b = s.choice.next(sc, b)
	c := sc.conn
	c.writing = len(b) > 0
	switch {
	case c.writing && c.timer == nil:
		c.timer = time.AfterFunc(s.cfg.copyTimeout, func() {
			s.update(func(k *choice) { k.timeout(sc) })
		})
	case !c.writing && s.choice.flushed(sc):
		s.choice.out, c.writing = nil, true // by the application
		c.SetWriteDeadline(s.writeDeadline)
		s.writeTo.Store(c.TCPConn)
		s.broadcast()
	}
	return b
}
