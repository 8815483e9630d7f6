package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// roleEnv makes this program an actor: its spec in JSON.
const roleEnv = "SIMOPEN_ROLE"

// unheard is how many messages wait until they are heard: more than are sent at once.
const unheard = 16

// Self is an actor, seen from inside.
type Self struct {
	spec  string
	heard chan json.RawMessage // closed when no more will come
	out   *json.Encoder
}

// Main plays a role if this process is an actor, and ends it then: with status 1, and the error on
// its standard error, if play fails. The context ends when the actor is to end. Main must come
// first in main.
func Main(play func(ctx context.Context, self *Self) error) {
	spec, ok := os.LookupEnv(roleEnv)
	if !ok {
		return
	}
	// A Ctrl-C reaches every process at the terminal. The program is the one to act on it.
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	s := &Self{spec: spec, heard: make(chan json.RawMessage, unheard), out: json.NewEncoder(os.Stdout)}
	go func() {
		defer cancel()
		s.listen()
	}()
	if err := play(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (s *Self) listen() {
	defer close(s.heard)
	in := json.NewDecoder(os.Stdin)
	for {
		var m json.RawMessage
		if in.Decode(&m) != nil {
			return
		}
		s.heard <- m
	}
}

// Spec reads what the actor is to do.
func (s *Self) Spec(v any) error { return json.Unmarshal([]byte(s.spec), v) }

// Hear waits for a message. It returns [io.EOF] when no more will come.
func (s *Self) Hear(ctx context.Context, v any) error {
	select {
	case m, ok := <-s.heard:
		if !ok {
			return io.EOF
		}
		return json.Unmarshal(m, v)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Say sends a message. One call at a time.
func (s *Self) Say(m any) {
	_ = s.out.Encode(m) // fails only if the reader is gone: this process ends soon
}
