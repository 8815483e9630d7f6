package punch

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestStream: of two connections one is chosen, by both sides the same, and the other is reset.
// What was written before any of them was up arrives, and so does what is written afterwards.
func TestStream(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	write(t, a, "first flight")
	write(t, b, "of the responder")
	wantOpen(t, "Chosen", a.Chosen())
	fromA1, fromB1 := join(t, a, b)
	fromA2, fromB2 := join(t, a, b)
	wantRead(t, b, "first flight")
	wantClosed(t, "Usable", b.Usable())
	wantRead(t, a, "of the responder")
	for _, s := range []*Stream{a, b} {
		wantClosed(t, "Usable", s.Usable())
		wantClosed(t, "Chosen", s.Chosen())
		wantOpen(t, "Done", s.Done())
	}
	write(t, a, "then")
	write(t, b, "more")
	wantRead(t, b, "then")
	wantRead(t, a, "more")
	x, y := a.TCPConn(), b.TCPConn()
	if x.LocalAddr().String() != y.RemoteAddr().String() || x.RemoteAddr().String() != y.LocalAddr().String() {
		t.Fatalf("%v to %v and %v to %v are not one connection", x.LocalAddr(), x.RemoteAddr(), y.LocalAddr(), y.RemoteAddr())
	}
	var errs []error
	for _, served := range []<-chan error{fromA1, fromA2} {
		errs = append(errs, <-served)
	}
	if !slices.Contains(errs, nil) || !slices.Contains(errs, ErrNotChosen) {
		t.Errorf("served: %v; want one chosen and the other not", errs)
	}
	chosen, other := fromB1, fromB2
	if errs[0] != nil {
		chosen, other = other, chosen
	}
	wantServed(t, chosen, nil)
	if err := <-other; err == nil { // ErrNotChosen, or the reset came first
		t.Error("both connections were chosen")
	}
	nothingLeft(t, a)
	nothingLeft(t, b)
	if a.choice.out != nil || b.choice.out != nil || b.choice.in != nil {
		t.Error("what was kept is not released")
	}
	// A connection that comes up now has no use.
	fromA, fromB := join(t, a, b)
	wantServed(t, fromA, ErrNotChosen)
	wantServed(t, fromB, ErrNotChosen)
	// The chosen one ends as any connection does.
	a.Close()
	wantEnd(t, b, "")
	if err := a.Err(); err != net.ErrClosed {
		t.Errorf("closed: %v", err)
	}
	wantClosed(t, "Done", a.Done())
	if b.Err() != nil {
		t.Errorf("the other side: %v", b.Err())
	}
}

// TestStreamInitiatorWire holds an initiator to the bytes in the package comment.
func TestStreamInitiatorWire(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]bool{"connected": false, "accepted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewStream(StreamConfig{Initiator: true, Token: ownToken})
			c, peer := connPair(t)
			served := serve(t, s, c, accepted)
			write(t, s, "hello")
			wantNoMore(t, peer)
			wantOpen(t, "Chosen", s.Chosen())
			s.SetPeerToken(peerToken)
			wantRead(t, peer, preamble(peerToken)+framed("hello"))
			if !accepted { // or else the Receiver has read the token
				write(t, s, "again")
				wantRead(t, peer, framed("again"))
				wantNoMore(t, peer)
				write(t, peer, preamble(ownToken))
			}
			wantRead(t, peer, theMarker)
			wantServed(t, served, nil)
			write(t, peer, theMarker+"stream") // the marker is the application's
			wantRead(t, s, theMarker+"stream")
			write(t, s, "unframed")
			s.Close()
			wantEnd(t, peer, "unframed")
		})
	}
}

// TestStreamResponderWire holds a responder to them.
func TestStreamResponderWire(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]bool{"connected": false, "accepted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, StreamConfig{})
			write(t, s, "hello")
			c, peer := connPair(t)
			served := serve(t, s, c, accepted)
			wantRead(t, peer, preamble(peerToken))
			if !accepted {
				wantNoMore(t, peer)
				wantOpen(t, "Usable", s.Usable())
				write(t, peer, preamble(ownToken))
			}
			wantRead(t, peer, "hello")
			wantClosed(t, "Usable", s.Usable())
			write(t, peer, framed("ab"), framed("c"))
			wantRead(t, s, "abc")
			wantOpen(t, "Chosen", s.Chosen())
			write(t, s, "again")
			wantRead(t, peer, "again")
			write(t, peer, framed("d")+theMarker+theMarker+"stream")
			wantServed(t, served, nil)
			wantRead(t, s, "d"+theMarker+"stream")
			s.Close()
			wantEnd(t, peer, "")
		})
	}
}

// TestStreamFirstPacket: what is first written to an accepted connection goes in one packet.
func TestStreamFirstPacket(t *testing.T) {
	t.Parallel()
	for initiator, want := range map[bool]string{
		true:  preamble(peerToken) + framed("hello") + theMarker,
		false: preamble(peerToken) + "hello",
	} {
		s := newStream(t, StreamConfig{Initiator: initiator})
		write(t, s, "hello")
		c, peer := connPair(t)
		serve(t, s, c, true)
		got := make([]byte, 100)
		if n, err := peer.Read(got); string(got[:n]) != want {
			t.Errorf("read %q, %v; want %q", got[:n], err, want)
		}
	}
}

// TestStreamLateCopy: a connection on which the peer hears nothing does not matter, as all that was
// written goes out again on one that comes up later.
func TestStreamLateCopy(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	write(t, a, "one")
	write(t, b, "two")
	c, deaf := connPair(t)
	dropped := serve(t, a, c, false)
	wantRead(t, deaf, preamble(peerToken)+framed("one"))
	write(t, a, "more")
	wantRead(t, deaf, framed("more"))
	fromA, fromB := join(t, a, b)
	wantServed(t, fromA, nil)
	wantServed(t, fromB, nil)
	wantServed(t, dropped, ErrNotChosen)
	wantRead(t, b, "onemore")
	wantRead(t, a, "two")
	wantDropped(t, deaf)
}

// TestStreamCopiesOverlap: what several connections deliver is delivered once, whichever is first.
func TestStreamCopiesOverlap(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	var peers []net.Conn
	var served []<-chan error
	for range 3 {
		c, peer := connPair(t)
		served, peers = append(served, serve(t, s, c, true)), append(peers, peer)
	}
	write(t, peers[0], framed("ab"))
	wantRead(t, s, "ab")
	write(t, peers[1], framed("a"), framed("bcd"))
	wantRead(t, s, "cd")
	write(t, peers[2], framed("abcdef"))
	wantRead(t, s, "ef")
	write(t, peers[0], framed("cdefg")+theMarker+"h")
	wantRead(t, s, "gh")
	wantServed(t, served[0], nil)
	wantServed(t, served[1], ErrNotChosen)
	wantServed(t, served[2], ErrNotChosen)
	wantDropped(t, peers[1])
}

// TestStreamChosenAndClosed: an initiator that has said all at once, and closed, is heard.
func TestStreamChosenAndClosed(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	write(t, s, "hello")
	c, peer := connPair(t)
	write(t, peer, preamble(ownToken)+framed("all")+theMarker+" of it")
	peer.Close()
	wantServed(t, serve(t, s, c, false), nil)
	wantRead(t, s, "all of it")
}

// TestStreamAdmit: the application is asked for each connection of the peer's, and can refuse.
func TestStreamAdmit(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, initiator := range map[string]bool{"initiator": true, "responder": false} {
		for _, accepted := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", connected", true: ", accepted"}[accepted], func(t *testing.T) {
				t.Parallel()
				c, peer := connPair(t)
				other, otherPeer := connPair(t)
				s := newStream(t, StreamConfig{Initiator: initiator, Admit: func(asked *net.TCPConn, a bool) error {
					if asked != c || a != accepted {
						t.Errorf("asked for %v, %v", asked.RemoteAddr(), a)
					}
					return refused
				}})
				dropped := serve(t, s, other, false)
				served := serve(t, s, c, accepted)
				if !accepted {
					write(t, peer, preamble(ownToken))
				}
				wantServed(t, served, refused)
				wantServed(t, dropped, refused)
				wantClosed(t, "Done", s.Done())
				if _, err := s.Read(make([]byte, 1)); err != refused || s.Err() != refused {
					t.Errorf("read: %v; the stream: %v", err, s.Err())
				}
				wantDropped(t, peer)
				wantDropped(t, otherPeer)
				nothingLeft(t, s)
			})
		}
	}
}

// TestStreamTrace: each connection that comes up is reported, and what becomes of it.
func TestStreamTrace(t *testing.T) {
	t.Parallel()
	type report struct {
		step   Step
		local  uint16
		remote netip.AddrPort
	}
	var mu sync.Mutex
	var got []report
	s := newStream(t, StreamConfig{Initiator: true, Trace: func(step Step, local uint16, remote netip.AddrPort, err error) {
		if (step == Dropped) != (err != nil) {
			t.Errorf("%s: %v", step, err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, report{step, local, remote})
	}})
	var want []report
	expect := func(c *net.TCPConn, steps ...Step) {
		t := tupleOf(c)
		for _, step := range steps {
			want = append(want, report{step, t.port, t.remote})
		}
	}
	c, peer := connPair(t)
	write(t, peer, preamble(peerToken))
	wantServed(t, serve(t, s, c, false), ErrToken)
	expect(c, Connected, Dropped)
	c, peer = connPair(t)
	served := serve(t, s, c, true)
	wantRead(t, peer, preamble(peerToken))
	wantServed(t, served, nil)
	expect(c, Accepted, Chosen)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestStreamAddresses: a stream has addresses from the first connection that is the peer's.
func TestStreamAddresses(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	want := func(local, remote string) {
		t.Helper()
		if s.LocalAddr().String() != local || s.RemoteAddr().String() != remote {
			t.Errorf("addresses are %v and %v, want %v and %v", s.LocalAddr(), s.RemoteAddr(), local, remote)
		}
	}
	want("0.0.0.0:0", "0.0.0.0:0")
	first, peer := connPair(t)
	serve(t, s, first, true)
	wantRead(t, peer, preamble(peerToken))
	want(first.LocalAddr().String(), first.RemoteAddr().String())
	second, peer := connPair(t)
	served := serve(t, s, second, true)
	wantRead(t, peer, preamble(peerToken))
	want(first.LocalAddr().String(), first.RemoteAddr().String())
	write(t, peer, theMarker)
	wantServed(t, served, nil)
	want(second.LocalAddr().String(), second.RemoteAddr().String())
}

// TestStreamNoChoice: a responder that reads no choice gives up.
func TestStreamNoChoice(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{choiceTimeout: 10 * time.Millisecond})
	c, peer := connPair(t)
	served := serve(t, s, c, false)
	wantRead(t, peer, preamble(peerToken))
	time.Sleep(20 * time.Millisecond)
	wantOpen(t, "Done", s.Done()) // the time begins with the first connection that is confirmed
	write(t, peer, preamble(ownToken))
	wantServed(t, served, ErrNoChoice)
	wantClosed(t, "Done", s.Done())
	if _, err := s.Write([]byte("late")); err != ErrNoChoice {
		t.Errorf("write: %v", err)
	}
	wantDropped(t, peer)
	nothingLeft(t, s)
}
