package holepunch

import (
	"context"
	"fmt"
	"time"
)

// read takes the peer's messages until there are no more. It leaves decoding to the attempt's
// goroutine: that takes stack, which this one would hold while it waits.
func (at *attempt) read() {
	r := newReader(at.signal)
	for {
		b, err := r.ReadMsg()
		taken := at.post(func() {
			at.onRead(b, err)
			r.ReleaseMsg(b)
		})
		if err != nil || !taken {
			return
		}
	}
}

func (at *attempt) onRead(b []byte, err error) {
	if at.session.signalLost {
		return // with a malformed message
	}
	m, err := decodeMessage(b, err)
	if err != nil {
		at.session.onSignalLost(m, err)
	} else {
		at.session.onMessage(m)
	}
}

// send writes a message, which takes some time at most. The end of the attempt interrupts it,
// unless that is what the message tells, in doneTimeout.
func (at *attempt) send(m *message, timeout time.Duration) error {
	defer at.signal.SetWriteDeadline(time.Time{})
	at.signal.SetWriteDeadline(time.Now().Add(timeout))
	if timeout > doneTimeout {
		defer at.interruptWrite(at.caller)()
		defer at.interruptWrite(at.agent.ctx)()
	}
	err := writeMessage(at.signal, m.marshal())
	switch {
	case err == nil:
		return nil
	case at.agent.ctx.Err() != nil:
		return ErrClosed
	case at.caller.Err() != nil:
		return at.caller.Err()
	default:
		return fmt.Errorf("%w: %w", ErrSignalLost, err)
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// interruptWrite has a write fail when ctx ends, until stop is called.
func (at *attempt) interruptWrite(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		at.signal.SetWriteDeadline(past)
		close(done)
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}
