package main

import (
	"slices"
	"sync"

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
