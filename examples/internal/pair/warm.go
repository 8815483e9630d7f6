package pair

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// ready reports that peers may come, or be called, unless ctx has ended.
func (n *node) ready(ctx context.Context) {
	answering, failed := awaitWarm(ctx, n.cfg.STUN)
	if ctx.Err() != nil {
		return
	}
	e := Event{Kind: Ready, Peer: n.ID(), STUN: answering}
	if len(answering) == 0 {
		e.Err = explainSTUN(failed)
	}
	n.tell(e)
}

// awaitWarm returns when the host's port is probably warm, that is, when the transport knows the
// port's reflexive addresses, with the STUN servers that answer. If none does, the relay has to.
//
// The transport does not report that. But it asks the servers as soon as the host is connected to a
// relay. Asking the same servers twice from then on takes long enough: three round trips to the
// transport's two, and longer where they take longer.
func awaitWarm(ctx context.Context, servers []string) (answering []string, failed []error) {
	errs := make([]error, len(servers))
	var asking sync.WaitGroup
	for i, server := range servers {
		asking.Go(func() { errs[i] = askTwice(ctx, server) })
	}
	asking.Wait()
	for i, err := range errs {
		if err != nil {
			failed = append(failed, err)
		} else {
			answering = append(answering, servers[i])
		}
	}
	return answering, failed
}

func askTwice(ctx context.Context, server string) error {
	conn, err := stun.Dial(ctx, new(net.Dialer), server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err = conn.Binding(ctx); err == nil {
		_, err = conn.Binding(ctx)
	}
	return err
}

// explainSTUN returns in one line why the STUN servers did not answer.
func explainSTUN(failed []error) string {
	texts := make([]string, len(failed))
	for i, err := range failed {
		texts[i] = console.OneLine(err)
		if e := (*stun.Error)(nil); errors.As(err, &e) {
			texts[i] = console.ExplainSTUN(e)
		}
	}
	return strings.Join(texts, "; ")
}
