package punch

import (
	"errors"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// An ending is what the other end does when it has said all.
type ending int

const (
	waits  ending = iota
	closes        // its half, with a FIN
	resets
)

// TestStreamMalformed: a connection whose other end says what no peer does is reset, and leaves
// nothing behind; the next one is served as if it had not been.
func TestStreamMalformed(t *testing.T) {
	t.Parallel()
	type input struct {
		say string
		ending
		want error
	}
	shown := preamble(ownToken)
	// Whoever the stream is, and on connections that it has connected.
	inputs := map[string]input{
		"closes at once":             {"", closes, ErrHungUp},
		"resets at once":             {"", resets, ErrHungUp},
		"silent":                     {"", waits, ErrSilent},
		"short token":                {shown[:preambleLen-1], closes, ErrPreamble},
		"slow token":                 {shown[:preambleLen-1], waits, ErrSilent},
		"long token":                 {shown[:preambleLen-1] + "A\n", waits, ErrPreamble},
		"data before the token":      {framed("evil") + shown, waits, ErrPreamble},
		"marker before the token":    {theMarker + shown, waits, ErrPreamble},
		"wrong token":                {preamble(Token{3}) + theMarker, waits, ErrToken},
		"the token that it is shown": {preamble(peerToken) + theMarker, waits, ErrToken},
	}
	for name, line := range malformedPreambles {
		if len(line) == preambleLen {
			inputs["a token with "+name] = input{line + theMarker, waits, ErrPreamble}
		}
	}
	fromInitiator := map[string]input{
		"two tokens":                       {shown + shown, waits, ErrFrame},
		"another kind after the token":     {shown + "\x02", waits, ErrFrame},
		"closes in place of the marker":    {shown, closes, io.ErrUnexpectedEOF},
		"a frame of length 0":              {shown + "\x00\x00\x00", waits, ErrFrame},
		"a frame that is cut off":          {shown + "\x00\x00\x05fi", closes, io.ErrUnexpectedEOF},
		"a header that is cut off":         {shown + "\x00\x00", closes, io.ErrUnexpectedEOF},
		"the marker, which has lost bytes": {shown + theMarker, waits, ErrFrame},
	}
	for _, initiator := range []bool{true, false} {
		all := maps.Clone(inputs)
		if !initiator { // all that follows a responder's token is its stream
			maps.Copy(all, fromInitiator)
		}
		for name, in := range all {
			t.Run(map[bool]string{true: "initiator", false: "responder"}[initiator]+"/"+name, func(t *testing.T) {
				t.Parallel()
				cfg := StreamConfig{Initiator: initiator}
				if in.want == ErrSilent {
					cfg.copyTimeout = time.Second // in which the right connections are served, too
				}
				s := newStream(t, cfg)
				if !initiator { // one connection is right, and has delivered something
					c, peer := connPair(t)
					serve(t, s, c, true)
					write(t, peer, framed("first"))
					wantRead(t, s, "first")
				}
				c, peer := connPair(t)
				served := serve(t, s, c, false)
				write(t, peer, in.say)
				switch in.ending {
				case closes:
					peer.CloseWrite()
				case resets:
					tcpport.Reset(peer)
				}
				wantServed(t, served, in.want)
				if in.ending != resets {
					wantDropped(t, peer)
				}
				wantOpen(t, "Done", s.Done())
				wantOpen(t, "Chosen", s.Chosen())

				c, peer = connPair(t)
				served = serve(t, s, c, true)
				if initiator {
					write(t, peer, "good")
				} else {
					write(t, peer, framed("first")+theMarker+"good")
				}
				wantServed(t, served, nil)
				wantRead(t, s, "good")
				nothingLeft(t, s)
			})
		}
	}
}

// TestStreamSlowToken: a token may come a byte at a time, and what follows it, too.
func TestStreamSlowToken(t *testing.T) {
	t.Parallel()
	for name, initiator := range map[string]bool{"initiator": true, "responder": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, StreamConfig{Initiator: initiator})
			c, peer := connPair(t)
			served := serve(t, s, c, false)
			say := preamble(ownToken)
			wantRead(t, peer, preamble(peerToken))
			if !initiator {
				say += framed("f") + framed("irst") + theMarker
			}
			for _, b := range []byte(say + "stream") {
				write(t, peer, string(b))
			}
			wantServed(t, served, nil)
			if !initiator {
				wantRead(t, s, "first")
			}
			wantRead(t, s, "stream")
		})
	}
}

// TestStreamMostFrames: a responder takes the longest frame, and as much in frames as a peer may
// send before the choice, whether its application reads it or not; and no more.
func TestStreamMostFrames(t *testing.T) {
	t.Parallel()
	most := pattern(maxKept)
	s := newStream(t, StreamConfig{})
	c, peer := connPair(t)
	served := serve(t, s, c, true)
	write(t, peer, framed(string(most)), framed("x"))
	wantServed(t, served, ErrFrame)
	wantRead(t, s, string(most))
	c, peer = connPair(t)
	served = serve(t, s, c, true)
	write(t, peer, framed(string(most)), theMarker, "then")
	wantServed(t, served, nil)
	wantRead(t, s, "then")
}

// TestStreamCopiesDiffer: a connection that delivers other bytes than another one ends the stream.
// Nothing of them reaches the application.
func TestStreamCopiesDiffer(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{
		"at once":            "X",
		"later":              "abX",
		"in its second half": "abcdXf",
		"and goes on":        "abcX" + strings.Repeat("X", 10000),
		"the last":           "abcdeX",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, StreamConfig{})
			c1, peer1 := connPair(t)
			c2, peer2 := connPair(t)
			served1, served2 := serve(t, s, c1, true), serve(t, s, c2, false)
			write(t, peer1, framed("abcd")+framed("ef"))
			wantRead(t, s, "abcdef")
			write(t, peer2, preamble(ownToken)+framed(second[:1]))
			if len(second) > 1 {
				io.WriteString(peer2, framed(second[1:])) // may be reset already
			}
			wantServed(t, served1, ErrCopiesDiffer)
			wantServed(t, served2, ErrCopiesDiffer)
			wantClosed(t, "Done", s.Done())
			if n, err := s.Read(make([]byte, 10)); n > 0 || err != ErrCopiesDiffer {
				t.Errorf("read %d, %v", n, err)
			}
			if n, err := s.Write([]byte("x")); n > 0 || err != ErrCopiesDiffer {
				t.Errorf("wrote %d, %v", n, err)
			}
			wantDropped(t, peer1)
			nothingLeft(t, s)
		})
	}
}

// TestStreamMarkerTwice: an initiator that chooses two connections has the first.
func TestStreamMarkerTwice(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	c1, peer1 := connPair(t)
	c2, peer2 := connPair(t)
	served1, served2 := serve(t, s, c1, true), serve(t, s, c2, true)
	write(t, peer1, framed("ab")+theMarker+"first")
	wantServed(t, served1, nil)
	io.WriteString(peer2, framed("ab")+theMarker+"second") // may be reset already
	wantServed(t, served2, ErrNotChosen)
	wantRead(t, s, "abfirst")
	wantRead(t, peer1, preamble(peerToken))
	peer1.Close()
	wantEnd(t, s, "")
}

// TestStreamSilentPeer: the time that a peer has to show its token begins when this side has shown
// the peer's, and ends with the choice.
func TestStreamSilentPeer(t *testing.T) {
	t.Parallel()
	s := NewStream(StreamConfig{Initiator: true, Token: ownToken, copyTimeout: 10 * time.Millisecond})
	c, peer := connPair(t)
	served := serve(t, s, c, false)
	wantNoMore(t, peer) // takes longer than copyTimeout
	select {
	case err := <-served:
		t.Fatalf("served: %v, before the peer's token was known", err)
	default:
	}
	s.SetPeerToken(peerToken)
	wantServed(t, served, ErrSilent)
	wantDropped(t, peer)

	s = newStream(t, StreamConfig{Initiator: true, copyTimeout: testTimeout})
	c, peer = connPair(t)
	write(t, s, "hello")
	served = serve(t, s, c, false)
	wantRead(t, peer, preamble(peerToken)+framed("hello"))
	write(t, peer, preamble(ownToken))
	wantServed(t, served, nil)
	s.SetReadDeadline(time.Now())
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}
