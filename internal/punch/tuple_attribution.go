package punch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// errAttributed is a connection that another attempt has, by its token.
var errAttributed = fmt.Errorf("%w: it is another attempt's", tcpport.ErrTupleTaken)

// attribute finds out which attempt a connection belongs to, if another attempt wants its 4-tuple,
// too.
func (o *Opening) attribute(c *net.TCPConn, k *claim, took time.Duration) error {
	if o.round.Receiver == nil || !k.shared() {
		return nil
	}
	wait := min(max(took, o.times.minTokenWait), o.times.maxTokenWait)
	return o.round.Receiver.awaitToken(o.ctx, c, wait)
}

// awaitToken finds out which attempt a connection belongs to, after a connect of one attempt has
// brought it up. It returns nil if the other end sends nothing within wait: that end has accepted
// the connection, and waits for a token as well. The connection then belongs to the caller again.
// After errAttributed the Receiver has given the connection to the attempt with its token, which
// may be the caller's, as if it had been accepted. After other errors the connection is of no use
// and was reset.
//
// If ctx ends first, it returns errAttributed, and does not reset the connection. Otherwise a peer
// could end the connection of another peer by ending its own attempt.
func (r *Receiver) awaitToken(ctx context.Context, c *net.TCPConn, wait time.Duration) error {
	verdict := make(chan error)
	tell := func(err error) bool {
		select {
		case verdict <- err:
			return true
		case <-ctx.Done():
			return false
		}
	}
	read := func() {
		begun, err := readPreamble(c, nil, wait)
		if len(begun) == 0 && errors.Is(err, ErrSilent) {
			if !r.leave(c) {
				tell(errCrowded)
			} else if c.SetReadDeadline(time.Time{}); !tell(nil) {
				tcpport.Reset(c)
			}
			return
		}
		serve, err := r.identify(c, begun)
		if err != nil {
			tell(err)
			return
		}
		tell(errAttributed)
		serve(c)
	}
	if !r.hold(c, read) {
		return net.ErrClosed
	}
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return errAttributed
	}
}
