package stun_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestBindingTimeout(t *testing.T) {
	for name, answer := range map[string]int{"no answer": 0, "a byte": 1, "half an answer": 25, "all but a byte": 39} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := pipe(t)
				go func() { _, _ = server.Write(success(readRequest(t, server), 1)[:answer]) }()
				begun := time.Now()
				_, err := c.Binding(t.Context())
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v, want context.DeadlineExceeded", err)
				}
				if took := time.Since(begun); took != stun.DefaultTimeout {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestBindingOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			req := readRequest(t, server)
			time.Sleep(3 * stun.DefaultTimeout)
			_, _ = server.Write(success(req, 1))
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 4*stun.DefaultTimeout)
		defer cancel()
		if _, err := c.Binding(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestBindingLateAnswer has an answer come after its Binding has given up. The next Binding must
// get its own.
func TestBindingLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			late := readRequest(t, server)
			next := readRequest(t, server)
			_, _ = server.Write(success(late, 1))
			_, _ = server.Write(success(next, 2))
		}()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		got, err := c.Binding(t.Context())
		if want := netip.MustParseAddrPort("192.0.2.1:2"); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	})
}

// TestBindingCancelWrite cancels while the request cannot be sent.
func TestBindingCancelWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t) // The other end does not read.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
			t.Errorf("the connection ended with %v, want net.ErrClosed", err)
		}
	})
}

func TestBindingCancelledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
	})
}
