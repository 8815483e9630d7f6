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

// attribute finds out whose a connection is, if another attempt wants its 4-tuple, too.
func (o *Opening) attribute(c *net.TCPConn, k *claim, took time.Duration) error {
	if o.round.Receiver == nil || !k.shared() {
		return nil
	}
	wait := min(max(took, o.times.minTokenWait), o.times.maxTokenWait)
	return o.round.Receiver.awaitToken(o.ctx, c, wait)
}

// awaitToken finds out whose a connection is that one attempt's connect brought up, and that may be
// another's. It returns nil if the other end says nothing within wait: it has accepted the
// connection, and waits for a token as well. Then the connection is the caller's again. With
// errAttributed the connection is another attempt's, or the caller's own as one that was accepted
// is. With other errors it is of no use and was reset.
//
// If ctx ends before, it returns errAttributed, and the connection is not reset for it: else a peer
// could end the connection of another one by the end of its own attempt.
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
	if !r.admit(c, func() {
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
	}) {
		return net.ErrClosed
	}
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return errAttributed
	}
}
