package tunnel

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	// chunk is how much is moved at a time, in bytes.
	chunk = 32 << 10

	// linger is how long a stream may take to say that its connection was reset, behind the data
	// that came before. A reader that stands still could hold it up for ever.
	linger = 10 * time.Second
)

// errResetThere is the end of a connection that was reset at the other side of the stream.
var errResetThere = errors.New("reset on the other side")

// A joint joins a connection and a stream. What comes in order on the connection leaves in order on
// the stream: data, and the end or a reset. (A reset of the stream itself would overtake data, as a
// server's last words before it resets a client.)
type joint struct {
	end    End
	stream network.Stream

	sent, received atomic.Int64 // bytes
	moved          func(direction string, n int)

	ended atomic.Bool // the end was sent: no reset can follow in order
	once  sync.Once
	err   error // the first
}

// join moves data in both directions, until both have ended or one has failed. It returns the first
// failure. At the end the connection and the stream are closed.
func (j *joint) join() error {
	var moving sync.WaitGroup
	moving.Go(j.send)
	j.receive()
	moving.Wait()
	if j.err != nil {
		_ = j.stream.Reset()
		return j.err
	}
	// What may fail here has no consequence: all data and both ends were passed on.
	_ = j.stream.Close()
	_ = j.end.Close()
	return nil
}

// fail records a failure, and ends the connection.
func (j *joint) fail(err error) {
	j.once.Do(func() { j.err = err })
	_ = j.end.Reset()
}

// send moves data from the connection to the stream.
func (j *joint) send() {
	buf := make([]byte, frameHeader+chunk)
	for {
		n, err := j.end.Read(buf[frameHeader:])
		if n > 0 {
			binary.BigEndian.PutUint16(buf, uint16(n))
			if _, err := j.stream.Write(buf[:frameHeader+n]); err != nil {
				j.fail(err)
				return
			}
			j.sent.Add(int64(n))
			j.moved("sent", n)
		}
		switch {
		case err == io.EOF:
			j.finish(frameEnd)
			return
		case err != nil:
			j.fail(err)
			_ = j.stream.SetDeadline(time.Now().Add(linger))
			j.finish(frameReset)
			return
		}
	}
}

// finish sends the last frame.
func (j *joint) finish(frame uint16) {
	_, err := j.stream.Write(binary.BigEndian.AppendUint16(nil, frame))
	if err == nil {
		j.ended.Store(frame == frameEnd)
		err = j.stream.CloseWrite()
	}
	if err != nil {
		j.fail(err)
		_ = j.stream.Reset()
	}
}

// receive moves data from the stream to the connection.
func (j *joint) receive() {
	buf := make([]byte, chunk)
	for {
		frame, err := readFrame(j.stream)
		switch {
		case err != nil:
			j.fail(err)
			return
		case frame == frameEnd:
			if err := j.end.CloseWrite(); err != nil {
				j.failHere(err)
			}
			return
		case frame == frameReset:
			j.fail(errResetThere)
			_ = j.stream.Reset() // more is not needed
			return
		}
		for left := int(frame); left > 0; {
			n, err := j.stream.Read(buf[:min(left, chunk)])
			left -= n
			if _, werr := j.end.Write(buf[:n]); werr != nil {
				j.failHere(werr)
				return
			}
			j.received.Add(int64(n))
			j.moved("received", n)
			if err != nil && left > 0 {
				j.fail(err)
				return
			}
		}
	}
}

// failHere is called when nothing can be written to the connection any more. send, which cannot
// read from the connection any more, reports this to the other side, if it has not sent the end
// yet. What comes until the stream ends is not needed.
func (j *joint) failHere(err error) {
	j.fail(err)
	if j.ended.Load() {
		_ = j.stream.Reset()
		return
	}
	_ = j.stream.SetDeadline(time.Now().Add(linger))
	_, _ = io.Copy(io.Discard, j.stream)
}
