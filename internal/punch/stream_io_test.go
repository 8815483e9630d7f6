package punch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestStreamConn runs the tests of package nettest on streams whose connections come up while they
// are used.
func TestStreamConn(t *testing.T) {
	t.Parallel()
	for name, copies := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := newStreams(t)
				var served sync.WaitGroup
				for i := range copies {
					x, y := connPair(t)
					served.Go(func() { a.Serve(x, false) })
					served.Go(func() {
						if i > 0 {
							<-a.Chosen()
						}
						b.Serve(y, false)
					})
				}
				stop = func() {
					a.Close()
					b.Close()
					served.Wait()
				}
				if copies > 1 { // the other side, too
					return b, a, stop, nil
				}
				return a, b, stop, nil
			})
		})
	}
}

// TestStreamHandover: Reads and Writes of several goroutines that are under way when a connection
// is chosen lose, repeat and mix nothing.
func TestStreamHandover(t *testing.T) {
	t.Parallel()
	const writers, records = 4, 300
	a, b := newStreams(t)
	var all sync.WaitGroup
	for _, ends := range [][2]*Stream{{a, b}, {b, a}} {
		for id := range writers {
			all.Go(func() {
				// A record has its writer, its number, and a length that goes with it.
				for n := range records {
					record := make([]byte, 12+(n*37+id)%2000)
					binary.BigEndian.PutUint32(record, uint32(len(record)))
					binary.BigEndian.PutUint32(record[4:], uint32(id))
					binary.BigEndian.PutUint32(record[8:], uint32(n))
					for i := range record[12:] {
						record[12+i] = byte(n + i)
					}
					if _, err := ends[0].Write(record); err != nil {
						t.Errorf("write: %v", err)
						return
					}
				}
			})
		}
		all.Go(func() {
			var next [writers]uint32
			ends[1].SetReadDeadline(time.Now().Add(testTimeout))
			for range writers * records {
				var header [12]byte
				if _, err := io.ReadFull(ends[1], header[:]); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				body := make([]byte, binary.BigEndian.Uint32(header[:])-12)
				if _, err := io.ReadFull(ends[1], body); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				id, n := binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:])
				if id >= writers || n != next[id] {
					t.Errorf("record %d of writer %d; want %v", n, id, next)
					return
				}
				next[id]++
				for i := range body {
					if body[i] != byte(int(n)+i) {
						t.Errorf("record %d of writer %d is damaged", n, id)
						return
					}
				}
			}
		})
	}
	for a.keeps() < maxKept-2100 || b.keeps() < maxKept-2100 { // or else a record fits
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		join(t, a, b)
	}
	all.Wait()
}

// keeps returns how much a stream keeps.
func (s *Stream) keeps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.choice.out)
}

// TestStreamKeeps: before the choice as much is kept as a copy may carry. A Write that does not
// fit waits for the choice as a whole.
func TestStreamKeeps(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	sent := pattern(maxKept + 100)
	if n, err := a.Write(sent[:maxKept]); n != maxKept || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := a.Write(sent[:1]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v; want 0, %v", n, err, os.ErrDeadlineExceeded)
	}
	a.SetWriteDeadline(time.Time{})
	wrote := make(chan error)
	go func() {
		_, err := a.Write(sent[maxKept:])
		wrote <- err
	}()
	join(t, a, b)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	wantRead(t, b, string(sent))
}

// TestStreamDeadlines: deadlines end what waits before the choice, and what was set before holds
// after it.
func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	timeout := func(what string, n int, err error) {
		t.Helper()
		ne, ok := err.(net.Error)
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !ok || !ne.Timeout() {
			t.Errorf("%s: %d, %v; want %v", what, n, err, os.ErrDeadlineExceeded)
		}
	}
	buf := make([]byte, maxKept)
	past := time.Unix(1, 0)

	a.SetDeadline(past)
	n, err := a.Read(buf)
	timeout("read with a past deadline", n, err)
	n, err = a.Write(buf[:1])
	timeout("write with a past deadline", n, err)

	// A deadline that is set or moved while they wait.
	a.SetDeadline(time.Now().Add(time.Hour))
	write(t, a, string(buf))
	read, wrote := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := a.Read(buf)
		read <- err
	}()
	go func() {
		_, err := a.Write(buf[:1])
		wrote <- err
	}()
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	timeout("waiting read", 0, <-read)
	a.SetWriteDeadline(past)
	timeout("waiting write", 0, <-wrote)

	// The deadlines in force hold after the choice, and others do then.
	fromA, fromB := join(t, a, b)
	wantServed(t, fromA, nil) // the past deadline does not keep what was written before
	wantServed(t, fromB, nil)
	wantRead(t, b, string(buf))
	n, err = a.Read(buf)
	timeout("read after the choice", n, err)
	n, err = a.Write(buf[:1])
	timeout("write after the choice", n, err)
	a.SetDeadline(time.Time{})
	write(t, a, "on")
	write(t, b, "and")
	wantRead(t, b, "on")
	wantRead(t, a, "and")
	b.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err = b.Read(buf)
	timeout("read later", n, err)
}

// TestStreamDeadlineAcross: a Read that has waited since before the choice ends by its deadline.
func TestStreamDeadlineAcross(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	a.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	read := make(chan error, 1)
	go func() {
		_, err := a.Read(make([]byte, 1))
		read <- err
	}()
	join(t, a, b)
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

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
			wantRead(t, peer1, preamble(peerToken)+theMarker)
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

// TestStreamCloseWithDeafPeer: a peer that reads nothing does not keep Close.
func TestStreamCloseWithDeafPeer(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{Initiator: true})
	c, peer := connPair(t)
	c.SetWriteBuffer(1) // the least that the system allows
	peer.SetReadBuffer(1)
	write(t, s, string(pattern(maxKept)))
	served := serve(t, s, c, true)
	wantRead(t, peer, preamble(peerToken))
	write(t, peer, theMarker)
	wantClosed(t, "Chosen", s.Chosen())
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

// TestStreamWriteError: when what was kept cannot be sent on the chosen connection, Write says so.
func TestStreamWriteError(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{Initiator: true})
	c, peer := connPair(t)
	served := serve(t, s, c, true)
	wantRead(t, peer, preamble(peerToken))
	c.CloseWrite()
	write(t, s, "lost")
	for s.sendError() == nil {
		time.Sleep(time.Millisecond)
	}
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

// sendError returns why a copy could not be sent something.
func (s *Stream) sendError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.writeErr != nil {
			return c.writeErr
		}
	}
	return nil
}

// BenchmarkStream measures a stream after the choice beside a TCP connection.
func BenchmarkStream(b *testing.B) {
	pairs := map[string]func() (x, y net.Conn){
		"TCPConn": func() (x, y net.Conn) { return connPair(b) },
		"Stream": func() (x, y net.Conn) {
			s, t := newStreams(b)
			fromS, fromT := join(b, s, t)
			<-fromS
			<-fromT
			return s, t
		},
	}
	for _, size := range []int{1, 64 << 10} {
		for range 3 { // in turn, as the machine does other things as well
			for _, name := range []string{"TCPConn", "Stream"} {
				b.Run(fmt.Sprintf("echo-%d/%s", size, name), func(b *testing.B) {
					x, y := pairs[name]()
					var echo sync.WaitGroup
					echo.Go(func() {
						buf := make([]byte, size)
						for {
							if _, err := io.ReadFull(y, buf); err != nil {
								return
							}
							y.Write(buf)
						}
					})
					buf := bytes.Repeat([]byte("x"), size)
					b.SetBytes(int64(size))
					for b.Loop() {
						if _, err := x.Write(buf); err != nil {
							b.Fatal(err)
						}
						if _, err := io.ReadFull(x, buf); err != nil {
							b.Fatal(err)
						}
					}
					x.Close()
					echo.Wait()
				})
			}
		}
	}
}
