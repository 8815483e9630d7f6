package labtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Role is the function of a child process. An error is written to the child's standard error, and
// makes its exit status 1.
type Role func(c *Child) error

// A Child is a child process, seen from inside. Each method may be called by one goroutine.
type Child struct {
	config json.RawMessage
	in     *json.Decoder
	out    *json.Encoder
}

// Config reads the configuration that was given to [Start].
func (c *Child) Config(v any) error { return json.Unmarshal(c.config, v) }

// Emit sends an event to the parent, which reads it with [Proc.Next].
func (c *Child) Emit(v any) error { return c.out.Encode(v) }

// Receive reads what the parent has sent by [Proc.Send]. It returns [io.EOF] when no more will
// come.
func (c *Child) Receive(v any) error { return c.in.Decode(v) }

// UntilEnd returns when the parent has no more to say. It must not say anything before.
func (c *Child) UntilEnd() error {
	var nothing any
	if err := c.Receive(&nothing); err != io.EOF {
		return fmt.Errorf("got %v, %w; want the end", nothing, err)
	}
	return nil
}

func runRole(name string, role Role) (status int) {
	// The process may start others, which have no role.
	os.Unsetenv(roleEnv)
	c := &Child{in: json.NewDecoder(os.Stdin), out: json.NewEncoder(os.Stdout)}
	err := c.in.Decode(&c.config)
	switch {
	case err != nil:
		err = fmt.Errorf("configuration: %w", err)
	case role == nil:
		err = errors.New("no such role")
	default:
		err = role(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
