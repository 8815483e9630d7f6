package gather

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// askAgain is how often a STUN server is asked again over the connection that holds the mapping. It
// must be well below the 90 s after which our own STUN server hangs up.
const askAgain = 25 * time.Second

// answerTimeout is what a STUN server has of askTimeout: its own error says more than that it was
// late.
const answerTimeout = askTimeout - 100*time.Millisecond

// A stunServer is a STUN server as an Observer.
type stunServer struct {
	address string        // host:port
	again   time.Duration // askAgain, but in tests
	timeout time.Duration // answerTimeout, but in tests
}

func (s stunServer) String() string { return s.address }

// IPv4 reports false for literal IPv6 addresses only: a port tries IPv4 first.
func (s stunServer) IPv4() bool {
	a, err := netip.ParseAddrPort(s.address)
	return err != nil || a.Addr().Unmap().Is4()
}

// Observe asks the server again from time to time. A connection keeps its mapping. When the answer
// changes nevertheless, one of the two is not what it seems, and Observe ends: a new connection
// will show which.
func (s stunServer) Observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	question, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := stun.Dial(question, d, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	reflexive, err := c.Binding(question)
	if err != nil {
		return err
	}
	if err := stun.CheckMapped(c.RemoteAddr().Addr(), reflexive.Addr()); err != nil {
		return &stun.Error{Op: "binding", Server: s.address, Err: err}
	}
	report(c.RemoteAddr(), reflexive)
	tick := time.NewTicker(s.again)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.Done():
			return c.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		question, cancel := context.WithTimeout(ctx, s.timeout)
		again, err := c.Binding(question)
		cancel()
		if err != nil {
			return err
		}
		if again != reflexive {
			return fmt.Errorf("%s reports %s, and %s for the same connection", s, reflexive, again)
		}
	}
}
