package stun

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// An Answer is what Ask learns from one server.
type Answer struct {
	Server string         // as given to Ask
	Conn   *Conn          // owned by the receiver; nil if Err is not
	Mapped netip.AddrPort // the reflexive address
	RTT    time.Duration  // from request to response, without connecting
	Err    error          // from Dial or Binding
}

// Ask asks all servers concurrently. It sends one Answer for each on the returned channel, in the
// order in which they arrive, and closes the channel after the last. Without a deadline on ctx,
// connecting and asking take 5 s each at most.
//
// The receiver owns the Conn of every Answer without an error. It must receive until the channel is
// closed, even after cancelling ctx: an answer may have arrived just before, and its connection
// must be closed.
func Ask(ctx context.Context, d Dialer, servers []string) <-chan Answer {
	answers := make(chan Answer, len(servers))
	var wg sync.WaitGroup
	for _, server := range servers {
		wg.Go(func() { answers <- ask(ctx, d, server) })
	}
	go func() {
		wg.Wait()
		close(answers)
	}()
	return answers
}

func ask(ctx context.Context, d Dialer, server string) Answer {
	conn, err := Dial(ctx, d, server)
	if err != nil {
		return Answer{Server: server, Err: err}
	}
	begun := time.Now()
	mapped, err := conn.Binding(ctx)
	if err != nil {
		_ = conn.Close()
		return Answer{Server: server, Err: err}
	}
	return Answer{Server: server, Conn: conn, Mapped: mapped, RTT: time.Since(begun)}
}
