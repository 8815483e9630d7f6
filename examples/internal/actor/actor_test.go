package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main(play)
	goleak.VerifyTestMain(m)
}

// play echoes what it hears, in the way that its spec says.
func play(ctx context.Context, self *Self) error {
	var prefix string
	if err := self.Spec(&prefix); err != nil {
		return err
	}
	if prefix == "" {
		return errors.New("no prefix\nand more that is of no use")
	}
	if prefix == "race" { // ends as a process with a data race does
		fmt.Fprintln(os.Stderr, "WARNING: DATA RACE")
		os.Exit(raceStatus)
	}
	for {
		var word string
		if err := self.Hear(ctx, &word); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		self.Say(prefix + word)
	}
}

func start(t *testing.T, ctx context.Context, spec string) *Actor[string] {
	t.Helper()
	a, err := Start[string](ctx, (*exec.Cmd).Start, Role{Name: "echo", Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

func TestTalk(t *testing.T) {
	a := start(t, t.Context(), "re: ")
	for _, word := range []string{"one", "two"} {
		if err := a.Tell(word); err != nil {
			t.Fatal(err)
		}
		if got, err := a.Next(t.Context()); err != nil || got != "re: "+word {
			t.Errorf("got %q, %v", got, err)
		}
	}
	a.Stop()
	if m, err := a.Next(t.Context()); err == nil {
		t.Errorf("an actor that has ended says %q", m)
	}
}

func TestContextEndsActor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := start(t, ctx, "re: ")
	cancel()
	a.Ignore()
}

func TestComplaint(t *testing.T) {
	a := start(t, t.Context(), "")
	if _, err := a.Next(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "echo: no prefix") {
		t.Errorf("got %v, want the first line of what the actor complains of", err)
	}
}

// TestRace: the report of a data race reaches the standard error, though the actor was to end.
func TestRace(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	own := os.Stderr
	os.Stderr = w
	start(t, t.Context(), "race").Stop()
	os.Stderr = own
	w.Close()
	if said, err := io.ReadAll(r); err != nil || !strings.Contains(string(said), "DATA RACE") {
		t.Errorf("got %q, %v", said, err)
	}
}
