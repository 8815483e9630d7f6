package punch

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// readBuffer is how much is read from a copy at a time: more than the flights of a handshake,
// which is all that most streams deliver before the choice.
const readBuffer = 4 << 10

// Serve makes a TCP connection a copy of the stream. It owns c and returns when c was chosen, with
// nil, or is of no use, with the reason why: c is reset then. Of an accepted connection the
// [Receiver] has read the preamble.
func (s *Stream) Serve(c *net.TCPConn, accepted bool) error {
	step := Connected
	if accepted {
		step = Accepted
	}
	s.trace(step, c, nil)
	sc := new(streamCopy)
	var late bool
	s.update(func(k *choice) {
		s.conns[sc] = c
		k.add(sc, accepted)
		late = sc.dropped != nil
	})
	// What an accepted connection opens with and what follows then go in one packet.
	if accepted && !late {
		s.admit(sc, c, accepted)
	}
	var writer sync.WaitGroup
	writer.Go(func() { s.writeCopy(sc, c) })
	s.readCopy(sc, c, accepted)
	err := sc.dropped // nothing changes it any more
	if err == nil {
		s.trace(Chosen, c, nil)
	} else {
		s.trace(Dropped, c, err)
	}
	writer.Wait()
	return err
}

func (s *Stream) trace(step Step, c *net.TCPConn, err error) {
	t := tupleOf(c)
	s.cfg.Trace(step, t.port, t.remote, err)
}

// admit asks the application whether a connection that has shown the right token may be used.
func (s *Stream) admit(sc *streamCopy, c *net.TCPConn, accepted bool) {
	err := s.cfg.Admit(c, accepted)
	s.update(func(k *choice) {
		if err != nil {
			k.fail(err)
		}
		if sc.dropped != nil {
			return
		}
		k.admit(sc)
		if s.first != nil {
			return
		}
		s.first = c
		if !s.cfg.Initiator {
			close(s.usable)
			s.choiceTimer = time.AfterFunc(s.cfg.ChoiceTimeout, func() { s.Fail(ErrNoChoice) })
		}
	})
}

// readCopy reads what comes in on a copy until it was chosen or dropped.
func (s *Stream) readCopy(sc *streamCopy, c *net.TCPConn, accepted bool) {
	buf := make([]byte, readBuffer)
	silent := !accepted
	for over := false; !over; {
		n, err := c.Read(buf[:min(sc.want(), len(buf))])
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
			s.admit(sc, c, accepted)
		}
	}
}

// writeCopy writes what is to be sent on a copy until it was dropped, or chosen and nothing that
// was kept is left: then Write goes to the connection.
func (s *Stream) writeCopy(sc *streamCopy, c *net.TCPConn) {
	var buf []byte
	var timer *time.Timer // from the moment where the peer's turn has come
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		if buf = s.unsent(sc, c, buf[:0]); len(buf) == 0 {
			return
		}
		if timer == nil {
			timer = time.AfterFunc(s.cfg.CopyTimeout, func() { s.update(func(k *choice) { k.timeout(sc) }) })
		}
		if _, err := c.Write(buf); err != nil {
			// Reading fails as well, when all that came before is read. That may be the marker.
			s.update(func(*choice) { sc.writeErr = err })
			return
		}
	}
}

// unsent waits for something to send on a copy, and appends it. It appends nothing when writeCopy
// is to end.
func (s *Stream) unsent(sc *streamCopy, c *net.TCPConn, b []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := &s.choice; sc.dropped == nil; s.wait(time.Time{}) {
		if b = k.next(sc, b); len(b) > 0 {
			return b
		}
		if k.flushed(sc) {
			k.out = nil
			c.SetWriteDeadline(s.writeDeadline)
			s.writeTo.Store(c)
			s.broadcast()
			return nil
		}
	}
	return nil
}
