package punch

import (
	"bytes"
	"fmt"
	"slices"
)

// A choice is what one side knows of the copies of a stream, until one of them is chosen and all
// that was kept for it is sent. Its methods take events and return what is to be sent; it has
// neither sockets nor a clock. TestChoiceModel drives two of them through every order of events.
//
// A responder sends its stream on each copy that it has confirmed: that has shown the right token,
// and that its application agrees to. An initiator chooses the first such copy, for good, as soon
// as it knows the peer's token. It completes the frames of that copy, which then have all that it
// has framed anywhere, and sends the marker after them. By the marker the responder learns of the
// choice: it lacks nothing then, and nothing comes twice.
type choice struct {
	initiator bool
	token     Token  // that copies have to show
	preamble  []byte // with which they open; nil until the peer's token is known

	copies  []*streamCopy // that are up
	dropped []*streamCopy // that are to be reset
	chosen  *streamCopy
	err     error // why the stream has ended; after the choice only by close

	out  []byte // what the application has written, until all of it was sent on the chosen copy
	in   []byte // what the responder's copies have delivered
	read int    // how much of in the application has read
}

// A streamCopy is one side's end of one connection.
type streamCopy struct {
	decoder
	admitted bool  // it has shown the right token, and the application agrees
	opened   bool  // the preamble was sent
	marked   bool  // the marker was sent, by the initiator
	sent     int   // of choice.out
	dropped  error // why it is of no use; nil while it is
	writeErr error // why nothing more can be sent on it; nil while it can
	conn     *copyConn
}

// maxLiveCopies bounds the copies that are up at a time: a peer that knows the token could make any
// number of connections, and each holds a socket and a goroutine. Two ports at each side make four
// pairs, and a peer has more than one or two external addresses only behind a carrier's NAT. Beyond
// the bound the oldest copy that has not shown the token gives way: a peer's shows it within a
// round trip, and guessing ports may connect to many strangers that say nothing. If all have shown
// it, the oldest gives way: it is likeliest to be up on this side only. If so many come up within
// that round trip, a copy may give way that the initiator has chosen already. The stream then ends.
const maxLiveCopies = 16

// add adds a copy that has come up. The token of an accepted one was read by the [Receiver].
func (k *choice) add(c *streamCopy, accepted bool) {
	c.fromInitiator = !k.initiator
	if accepted {
		c.showed(k.token)
	}
	k.copies = append(k.copies, c)
	switch {
	case k.chosen != nil:
		k.drop(c, ErrNotChosen)
	case k.err != nil:
		k.drop(c, k.err)
	case len(k.copies) > maxLiveCopies:
		silent := slices.IndexFunc(k.copies, func(o *streamCopy) bool { return o.state == atPreamble })
		k.drop(k.copies[max(silent, 0)], errTooManyCopies)
	}
}

// admit reports that the application agrees to a copy that has shown the right token.
func (k *choice) admit(c *streamCopy) {
	c.admitted = true
	switch {
	case !k.initiator, k.preamble == nil, c.dropped != nil, k.chosen != nil:
	case c.writeErr != nil:
		k.drop(c, c.writeErr) // the responder would not learn of the choice
	default:
		k.choose(c)
	}
}

// open sets what copies open with, by the peer's token.
func (k *choice) open(peer Token) {
	k.preamble = peer.AppendPreamble(nil)
	for _, c := range slices.Clone(k.copies) {
		if c.admitted {
			k.admit(c)
		}
	}
}

// receive takes what was read on a copy, c.want() bytes at most. It reports whether the copy has
// shown the right token by that: the caller then asks the application, and calls admit or fail
// before it reads on.
func (k *choice) receive(c *streamCopy, b []byte) (shown bool) {
	if c.dropped != nil {
		return false
	}
	it, err := c.decode(b)
	switch {
	case err != nil:
	case it == itemToken && c.token != k.token:
		err = ErrToken
	case it == itemToken:
		return true
	case it == itemData:
		k.deliver(c, b)
	case it == itemMarker && c.delivered() < len(k.in):
		err = fmt.Errorf("%w: marker before all that other copies delivered", ErrFrame)
	case it == itemMarker:
		k.choose(c)
	}
	if err != nil {
		k.drop(c, err)
	}
	return false
}

// delivered returns how many bytes of the peer's stream came in frames.
func (c *streamCopy) delivered() int { return c.framed - c.left }

// deliver takes bytes of the peer's stream. Those that another copy has delivered must be the same.
func (k *choice) deliver(c *streamCopy, b []byte) {
	at := c.delivered() - len(b)
	known := min(len(b), len(k.in)-at)
	if !bytes.Equal(b[:known], k.in[at:at+known]) {
		k.fail(ErrCopiesDiffer)
		return
	}
	k.in = append(k.in, b[known:]...)
}

// choose chooses a copy, for good, and drops the others.
func (k *choice) choose(c *streamCopy) {
	k.chosen = c
	for _, other := range slices.Clone(k.copies) {
		if other != c {
			k.drop(other, ErrNotChosen)
		}
	}
}

// drop gives up a copy, unless it was chosen: what becomes of that is no concern of a choice.
func (k *choice) drop(c *streamCopy, err error) {
	if c.dropped != nil || c == k.chosen {
		return
	}
	c.dropped = err
	k.copies = slices.DeleteFunc(k.copies, func(o *streamCopy) bool { return o == c })
	k.dropped = append(k.dropped, c)
}

// timeout drops a copy that has not shown a token in time.
func (k *choice) timeout(c *streamCopy) {
	if c.state == atPreamble {
		k.drop(c, ErrSilent)
	}
}

// fail ends the stream, unless a copy was chosen.
func (k *choice) fail(err error) {
	if k.chosen != nil || k.err != nil {
		return
	}
	k.err = err
	for _, c := range slices.Clone(k.copies) {
		k.drop(c, err)
	}
}

// close ends the stream, whether a copy was chosen or not.
func (k *choice) close(err error) {
	if k.fail(err); k.err == nil {
		k.err = err
	}
}

// write keeps bytes for the peer. It reports false if there is no room for all of them, and then
// keeps none. It must not be called after the choice.
func (k *choice) write(p []byte) bool {
	if len(k.out)+len(p) > maxKept {
		return false
	}
	k.out = append(k.out, p...)
	return true
}

// take copies what was delivered to p, and returns how much.
func (k *choice) take(p []byte) int {
	n := copy(p, k.in[k.read:])
	k.read += n
	return n
}

// next appends what is to be sent on a copy now, and takes it for sent.
func (k *choice) next(c *streamCopy, b []byte) []byte {
	if k.preamble == nil || c.dropped != nil {
		return b
	}
	if c.state != atPreamble && !c.admitted {
		return b // until Admit has agreed: then preamble, frames and marker go in one packet
	}
	if !c.opened {
		c.opened = true
		b = append(b, k.preamble...)
	}
	switch {
	case k.initiator:
		b = appendFrames(b, k.out[c.sent:])
	case c.admitted:
		b = append(b, k.out[c.sent:]...)
	default:
		return b
	}
	c.sent = len(k.out)
	if k.initiator && c == k.chosen && !c.marked {
		c.marked = true
		b = append(b, kindMarker)
	}
	return b
}

// flushed reports whether the copy was chosen and all that was kept is sent on it. What the
// application writes then may go to the connection.
func (k *choice) flushed(c *streamCopy) bool {
	return c == k.chosen && (c.marked || !k.initiator) && c.sent == len(k.out)
}
