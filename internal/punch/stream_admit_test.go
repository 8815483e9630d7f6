package punch

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestStreamTokenTooEarly: an initiator may accept a connection before it has read the ANSWER. It
// is chosen after that.
func TestStreamTokenTooEarly(t *testing.T) {
	t.Parallel()
	s := NewStream(StreamConfig{Initiator: true, Token: ownToken})
	c, peer := connPair(t)
	write(t, peer, preamble(ownToken))
	served := serve(t, s, c, false)
	other, _ := connPair(t)
	dropped := serve(t, s, other, false)
	wantNoMore(t, peer)
	wantOpen(t, "Chosen", s.Chosen())
	s.SetPeerToken(peerToken)
	wantServed(t, served, nil)
	wantServed(t, dropped, ErrNotChosen)
	wantRead(t, peer, preamble(peerToken)+theMarker)

	// One that has ended meanwhile is not chosen.
	for name, end := range map[string]func(*net.TCPConn){
		"reset":  tcpport.Reset,
		"closed": func(c *net.TCPConn) { c.Close() },
	} {
		s = NewStream(StreamConfig{Initiator: true, Token: ownToken})
		dead, deadPeer := connPair(t)
		fromDead := serve(t, s, dead, true)
		for !s.hasAdmitted(1) {
			time.Sleep(time.Millisecond)
		}
		c, peer = connPair(t)
		served = serve(t, s, c, true)
		for !s.hasAdmitted(2) {
			time.Sleep(time.Millisecond)
		}
		end(deadPeer)
		for tcpport.Ended(dead) == nil {
			time.Sleep(time.Millisecond)
		}
		s.SetPeerToken(peerToken)
		if err := <-fromDead; err == nil || errors.Is(err, ErrNotChosen) {
			t.Errorf("%s: served: %v, want its end", name, err)
		}
		wantServed(t, served, nil)
		wantRead(t, peer, preamble(peerToken)+theMarker)
	}

	s = NewStream(StreamConfig{Initiator: true, Token: ownToken})
	c, _ = connPair(t)
	served = serve(t, s, c, true)
	s.Fail(ErrNoChoice)
	wantServed(t, served, ErrNoChoice)
}

// TestStreamSlowAdmit: a connection that ends while the application thinks about it is not chosen.
func TestStreamSlowAdmit(t *testing.T) {
	t.Parallel()
	var slow *net.TCPConn
	thinks, agrees := make(chan struct{}), make(chan struct{})
	s := newStream(t, StreamConfig{Initiator: true, Admit: func(c *net.TCPConn, _ bool) error {
		if c == slow {
			close(thinks)
			<-agrees
		}
		return nil
	}})
	var slowPeer *net.TCPConn
	slow, slowPeer = connPair(t)
	fromSlow := serve(t, s, slow, true)
	<-thinks
	tcpport.Reset(slowPeer)
	for tcpport.Ended(slow) == nil {
		time.Sleep(time.Millisecond)
	}
	close(agrees)
	if err := <-fromSlow; err == nil || errors.Is(err, ErrNotChosen) {
		t.Errorf("served: %v, want its end", err)
	}
	wantOpen(t, "Chosen", s.Chosen())
	c, peer := connPair(t)
	served := serve(t, s, c, true)
	wantServed(t, served, nil)
	wantRead(t, peer, preamble(peerToken)+theMarker)
}

// hasAdmitted reports whether the application has agreed to n connections.
func (s *Stream) hasAdmitted(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.choice.copies {
		if c.admitted {
			n--
		}
	}
	return n == 0
}
