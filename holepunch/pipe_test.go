package holepunch

import (
	"io"
	"os"
	"sync"
	"time"
)

// pipe is a stream with a buffer, as those of a muxer have it: a write does not wait for a reader.
// It has no goroutine, so that a synctest bubble need not close it.
func pipe() (a, b *pipeEnd) {
	x, y := newHalf(), newHalf()
	return &pipeEnd{x, y}, &pipeEnd{y, x}
}

type pipeEnd struct{ in, out *half }

func (e *pipeEnd) Read(b []byte) (int, error)  { return e.in.read(b) }
func (e *pipeEnd) Write(b []byte) (int, error) { return e.out.write(b) }

func (e *pipeEnd) Close() error {
	e.in.end(io.ErrClosedPipe)
	e.out.end(io.EOF)
	return nil
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(t)
	return nil
}

// SetWriteDeadline has nothing to do: a write does not wait.
func (e *pipeEnd) SetWriteDeadline(time.Time) error { return nil }
func (e *pipeEnd) SetDeadline(t time.Time) error    { return e.SetReadDeadline(t) }

// A half is one direction.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	err      error // after the data
	deadline time.Time
	timer    *time.Timer
}

func newHalf() *half {
	h := new(half)
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			return n, nil
		case h.err != nil:
			return 0, h.err
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, io.ErrClosedPipe
	}
	h.data = append(h.data, b...)
	h.changed.Broadcast()
	return len(b), nil
}

func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
	h.changed.Broadcast()
}

func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	if h.timer != nil {
		h.timer.Stop()
	}
	if !t.IsZero() {
		h.timer = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}
