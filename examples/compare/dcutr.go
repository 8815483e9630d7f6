package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

// dcutrAttempts is how often DCUtR tries (holepunch, maxRetries).
const dcutrAttempts = 3

// dcutr is go-libp2p's own hole punching. It begins at the listener, which alone knows when it is
// over.
type dcutr struct {
	ended chan string
	tries atomic.Int32 // that failed
}

func newDCUtR() *dcutr { return &dcutr{ended: make(chan string, dcutrAttempts)} }

func (d *dcutr) option() libp2p.Option {
	return libp2p.EnableHolePunching(holepunch.WithTracer(d))
}

// Trace takes the end of each attempt with the only peer.
func (d *dcutr) Trace(e *holepunch.Event) {
	switch e := e.Evt.(type) {
	case *holepunch.ProtocolErrorEvt:
		d.ended <- lastCause(e.Error)
	case *holepunch.EndHolePunchEvt:
		if e.Success {
			return
		}
		if d.tries.Add(1) == dcutrAttempts {
			d.ended <- fmt.Sprintf("%d attempts failed, the last by %s", dcutrAttempts, lastCause(e.Error))
		}
	}
}

// lastCause returns the cause in the last line of an error of the swarm, whose text has a line for
// each address that was dialled. It leaves the addresses and ports out: with them no two pairs of
// NATs would fail for the same reason.
func lastCause(text string) string {
	cause := text[strings.LastIndexByte(text, '\n')+1:]
	if _, after, ok := strings.Cut(cause, "] "); ok { // the address
		cause = after
	}
	if dial, after, ok := strings.Cut(cause, ": "); ok && strings.HasPrefix(dial, "dial ") { // net.OpError
		cause = after
	}
	return cause
}

func (d *dcutr) over() <-chan string { return d.ended }

// ready waits for the protocol's handler, which is not there before the host knows a public address
// of its own.
func (d *dcutr) ready(ctx context.Context, h host.Host) error {
	return poll(ctx, "DCUtR: know a public address", func() bool {
		return slices.Contains(h.Mux().Protocols(), holepunch.Protocol)
	})
}

// connect does nothing: the listener punches.
func (d *dcutr) connect(context.Context, host.Host, peer.ID) error { return nil }
