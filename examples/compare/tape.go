package main

import (
	"slices"
	"sync"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A tape records what passes the NATs of both peers during a run.
type tape struct {
	mu     sync.Mutex
	events []natlab.Event
}

func (t *tape) add(e natlab.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

func (t *tape) soFar() []natlab.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// A punch is a run with what was seen of it at both NATs.
type punch struct {
	run    result.Run
	a, b   *natlab.Host // the dialler and the listener
	events []natlab.Event
}
