package stun_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestDialFails(t *testing.T) {
	blocked := dialerFunc(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
	refused := errors.New("refused")
	t.Run("refused", func(t *testing.T) {
		_, err := stun.Dial(t.Context(), dialerFunc(func(context.Context) (net.Conn, error) { return nil, refused }), "h:1")
		var e *stun.Error
		if !errors.As(err, &e) || e.Op != "dial" || e.Server != "h:1" || !errors.Is(err, refused) {
			t.Errorf("error is %#v", err)
		}
		if !strings.Contains(err.Error(), "stun: dial h:1: refused") {
			t.Errorf("error reads %q", err)
		}
	})
	t.Run("bad server", func(t *testing.T) {
		var e *stun.Error
		if _, err := stun.Dial(t.Context(), blocked, "stuns:h"); !errors.As(err, &e) || e.Op != "parse" {
			t.Errorf("error is %#v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := stun.Dial(ctx, blocked, "h:1"); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want context.Canceled", err)
			}
		})
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			_, err := stun.Dial(t.Context(), blocked, "h:1")
			if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != stun.DefaultTimeout {
				t.Errorf("after %v: %v, want context.DeadlineExceeded", took, err)
			}
		})
	})
}

// dialerFunc is a Dialer that pays no attention to the address.
type dialerFunc func(context.Context) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }
