package soak

import (
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestWrong: what the soak fails for, and what a fault excuses.
func TestWrong(t *testing.T) {
	failed := try{Reason: holepunch.ErrNoConnection, Err: "none"}
	tests := map[string]struct {
		round round
		fault string // a kind, which strikes the dialler
		ago   time.Duration
		want  string // in what is wrong; "" for nothing
	}{
		"all well":                        {round: round{Tries: []try{{Direct: true}}}},
		"a reason":                        {round: round{Tries: []try{failed}}},
		"no reason":                       {round: round{Tries: []try{{Err: "none"}}}, want: "no reason"},
		"corrupt":                         {round: round{Transfers: []transfer{{Over: "direct", Corrupt: "one byte"}}}, want: "not what was sent"},
		"corrupt under a fault":           {round: round{Transfers: []transfer{{Over: "direct", Corrupt: "one byte"}}}, fault: "a link stops", want: "not what was sent"},
		"cut":                             {round: round{Transfers: []transfer{{Over: "direct", Cut: "reset"}}}, want: "was cut"},
		"cut by a fault":                  {round: round{Transfers: []transfer{{Over: "direct", Cut: "reset"}}}, fault: "a link stops"},
		"cut long after a fault":          {round: round{Transfers: []transfer{{Over: "direct", Cut: "reset"}}}, fault: "a link stops", ago: time.Hour, want: "was cut"},
		"cut under one that cuts nothing": {round: round{Transfers: []transfer{{Over: "direct", Cut: "reset"}}}, fault: "no file descriptors", want: "was cut"},
		"lost by a punch":                 {round: round{Tries: []try{failed}, RelayedErr: "reset"}, want: "lost by a punch"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newTally()
			for i := range kinds {
				if k := &kinds[i]; k.name == test.fault {
					began := time.Now().Add(-test.ago)
					c.faults = append(c.faults, fault{kind: k, on: "a", began: began, over: began})
				}
			}
			c.round("a", "b", "relay", &test.round)
			got := strings.Join(c.wrong(), "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestGrown(t *testing.T) {
	first := sample{Goroutines: 20, Files: 10, Sockets: 4, Heap: 1 << 20}
	for what, now := range map[string]sample{
		"":                 {Goroutines: 20 + moreGoroutines, Files: 10 + moreFiles, Sockets: 4, Heap: 1<<20 + moreHeap},
		"goroutines":       {Goroutines: 21 + moreGoroutines, Files: 10, Sockets: 4, Heap: 1 << 20},
		"file descriptors": {Goroutines: 20, Files: 11 + moreFiles, Sockets: 4, Heap: 1 << 20},
		"sockets":          {Goroutines: 20, Files: 10, Sockets: 5 + moreFiles, Heap: 1 << 20},
		"bytes of heap":    {Goroutines: 20, Files: 10, Sockets: 4, Heap: 1<<20 + moreHeap + 1},
	} {
		if got := now.grown(&first); (got == "") != (what == "") || !strings.HasPrefix(got, what) {
			t.Errorf("got %q, want %q", got, what)
		}
	}
}
