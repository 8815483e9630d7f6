package punch

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestStreamFail: an error ends what waits, and resets what is up.
func TestStreamFail(t *testing.T) {
	t.Parallel()
	reason := errors.New("no reason")
	for name, tc := range map[string]struct {
		end  func(*Stream)
		want error
	}{
		"fail":  {func(s *Stream) { s.Fail(reason) }, reason},
		"close": {func(s *Stream) { s.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, StreamConfig{})
			write(t, s, string(make([]byte, maxKept)))
			c1, peer1 := connPair(t)
			c2, peer2 := connPair(t)
			served1, served2 := serve(t, s, c1, true), serve(t, s, c2, false)
			wantRead(t, peer1, preamble(peerToken))
			results := make(chan error)
			go func() {
				_, err := s.Read(make([]byte, 1))
				results <- err
			}()
			go func() {
				_, err := s.Write([]byte("more"))
				results <- err
			}()
			tc.end(s)
			for range 2 {
				if err := <-results; err != tc.want {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			}
			wantServed(t, served1, tc.want)
			wantServed(t, served2, tc.want)
			wantDropped(t, peer1)
			wantDropped(t, peer2)
			wantClosed(t, "Done", s.Done())
			if s.Fail(errors.New("late")); s.Err() != tc.want {
				t.Errorf("the stream: %v, want %v", s.Err(), tc.want)
			}
			if err := s.SetDeadline(time.Now()); err != tc.want {
				t.Errorf("set deadline: %v", err)
			}
			nothingLeft(t, s)
			c, peer := connPair(t)
			wantServed(t, serve(t, s, c, false), tc.want)
			wantDropped(t, peer)
		})
	}
}

// TestStreamFailTooLate: after the choice an error of the attempt is none of the connection.
func TestStreamFailTooLate(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	fromA, fromB := join(t, a, b)
	wantServed(t, fromA, nil)
	wantServed(t, fromB, nil)
	a.Fail(errors.New("late"))
	wantOpen(t, "Done", a.Done())
	write(t, a, "still")
	wantRead(t, b, "still")
}

// TestStreamCloseLosesNothing: what was written before Close arrives, whether a connection was
// chosen before or after it was written.
func TestStreamCloseLosesNothing(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		for _, late := range []bool{true, false} {
			t.Run(fmt.Sprintf("initiator %t, late %t", initiator, late), func(t *testing.T) {
				t.Parallel()
				a, b := newStreams(t)
				from, to := a, b
				if !initiator {
					from, to = b, a
				}
				sent := pattern(maxKept)
				if late {
					join(t, a, b)
					wantClosed(t, "Chosen", from.Chosen())
				}
				write(t, from, string(sent))
				if !late {
					join(t, a, b)
					wantClosed(t, "Chosen", from.Chosen())
				}
				if err := from.Close(); err != nil {
					t.Error(err)
				}
				wantEnd(t, to, string(sent))
			})
		}
	}
}

// chosenAndStuck returns an initiator's stream that has chosen a connection, on which what was kept
// cannot be sent before the peer has read some of it.
func chosenAndStuck(t *testing.T, kept []byte, flush time.Duration) (s *Stream, served <-chan error, peer *net.TCPConn) {
	t.Helper()
	s = newStream(t, StreamConfig{Initiator: true, flushTimeout: flush})
	c, peer := connPair(t)
	c.SetWriteBuffer(1) // the least that the system allows
	peer.SetReadBuffer(1)
	write(t, s, string(kept))
	served = serve(t, s, c, true)
	wantRead(t, peer, preamble(peerToken))
	wantClosed(t, "Chosen", s.Chosen())
	return s, served, peer
}

// TestStreamCloseWaits: Close waits until the peer has taken what was kept.
func TestStreamCloseWaits(t *testing.T) {
	t.Parallel()
	kept := pattern(maxFrameLen)
	s, served, peer := chosenAndStuck(t, kept, testTimeout)
	ended := make(chan error, 1)
	go func() { ended <- s.Close() }()
	wantClosed(t, "Done", s.Done())
	time.Sleep(10 * time.Millisecond) // Close could end now, if it did not wait
	wantEnd(t, peer, framed(string(kept))+theMarker)
	wantServed(t, served, nil)
	wantServed(t, ended, nil)
}

// TestStreamCloseWithDeafPeer: a peer that reads nothing does not keep Close.
func TestStreamCloseWithDeafPeer(t *testing.T) {
	t.Parallel()
	s, served, _ := chosenAndStuck(t, pattern(maxKept), 10*time.Millisecond)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantServed(t, served, nil)
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if _, err := s.Read([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

// TestStreamServeEndsWithChoice: an attempt does not wait for a peer that reads nothing.
func TestStreamServeEndsWithChoice(t *testing.T) {
	t.Parallel()
	_, served, _ := chosenAndStuck(t, pattern(maxKept), 10*time.Millisecond)
	wantServed(t, served, nil)
}

// TestStreamWriteError: when what was kept cannot be sent on the chosen connection, a responder's
// Write returns the error.
func TestStreamWriteError(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	peer, served := writeFails(t, s)
	write(t, peer, theMarker+"stream")
	wantServed(t, served, nil)
	wantRead(t, s, "stream")
	if n, err := s.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestStreamDeadCopy: an initiator does not choose a connection on which it cannot send any more.
func TestStreamDeadCopy(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{Initiator: true})
	peer, served := writeFails(t, s)
	write(t, peer, preamble(ownToken))
	wantServed(t, served, syscall.EPIPE)
	x, y := connPair(t)
	served = serve(t, s, y, true)
	wantRead(t, x, preamble(peerToken)+framed("lost")+theMarker)
	wantServed(t, served, nil)
}

// writeFails makes a connection a copy on which nothing can be sent any more.
func writeFails(t *testing.T, s *Stream) (peer *net.TCPConn, served <-chan error) {
	t.Helper()
	c, peer := connPair(t)
	served = serve(t, s, c, !s.cfg.Initiator)
	wantRead(t, peer, preamble(peerToken))
	c.CloseWrite()
	write(t, s, "lost")
	for s.sendError() == nil {
		time.Sleep(time.Millisecond)
	}
	return peer, served
}

// sendError returns why a copy could not be sent something.
func (s *Stream) sendError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.choice.copies {
		if c.writeErr != nil {
			return c.writeErr
		}
	}
	return nil
}

// TestSpares: a connection that was not chosen and shares a port with the chosen one, of
// either side, is not reset before Close, for its RST could end the chosen one in a NAT. There is a
// bound.
func TestSpares(t *testing.T) {
	t.Parallel()
	ours, theirs, others := newSide(t).port, listen(t), listen(t)
	s := newStream(t, StreamConfig{Initiator: true})
	connect := func(from *tcpport.Port, to *net.TCPListener) (peer *net.TCPConn, served <-chan error) {
		t.Helper()
		c, err := from.Connect(testContext(t), to.Addr().(*net.TCPAddr).AddrPort())
		if err != nil {
			t.Fatal(err)
		}
		if peer, err = to.AcceptTCP(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.Close() })
		return peer, serve(t, s, c, false)
	}
	chosen, served := connect(ours, theirs)
	fromOurs, fromOursServed := connect(ours, others)
	fromAnother, fromAnotherServed := connect(newSide(t).port, others)
	toTheirs, toTheirsServed := connect(newSide(t).port, theirs)
	for _, peer := range []net.Conn{chosen, fromOurs, fromAnother, toTheirs} {
		wantRead(t, peer, preamble(peerToken))
	}
	write(t, chosen, preamble(ownToken))
	wantServed(t, served, nil)
	for _, served := range []<-chan error{fromOursServed, fromAnotherServed, toTheirsServed} {
		wantServed(t, served, ErrNotChosen)
	}
	wantDropped(t, fromAnother)
	wantNoMore(t, fromOurs)
	wantNoMore(t, toTheirs)
	late, lateServed := connect(newSide(t).port, theirs)
	wantServed(t, lateServed, ErrNotChosen)
	wantDropped(t, late)
	s.Close()
	wantDropped(t, fromOurs)
	wantDropped(t, toTheirs)
	wantEnd(t, chosen, theMarker)
	nothingLeft(t, s)
}

// listen returns a listener on loopback.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
