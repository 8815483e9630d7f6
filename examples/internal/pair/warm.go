package pair

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// ready tells that peers may come, or be called, unless ctx has ended.
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

// awaitWarm returns when the host's port may be expected to be warm, that is, when
// the transport knows the port's reflexive addresses, and with the STUN servers that
// answer. If none does the relay will have to. The transport does not tell. But it asks the servers
// as soon as the host is connected to a relay, and so whoever asks the same servers
// from then on, and once more, has waited for long enough: three round trips
// to the transport's two, and longer where they take longer.
func awaitWarm(ctx context.Context, servers []string) (answering []string, failed []error) {
	for a := range stun.Ask(ctx, new(net.Dialer), servers) {
		if a.Err == nil {
			_, a.Err = a.Conn.Binding(ctx)
			a.Conn.Close()
		}
		if a.Err != nil {
			failed = append(failed, a.Err)
		} else {
			answering = append(answering, a.Server)
		}
	}
	slices.SortFunc(answering, func(a, b string) int { return slices.Index(servers, a) - slices.Index(servers, b) })
	return answering, failed
}

// explainSTUN says in one line why STUN servers told nothing.
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
