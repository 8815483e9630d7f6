package stun_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestAsk(t *testing.T) {
	good, alsoGood := serve(t, nil).String(), serve(t, nil).String()
	bad := fake(t, func(nc net.Conn) { readRequest(t, nc) })
	servers := []string{good, "stuns:example.org", "stun:" + alsoGood + "?transport=tcp", bad, good}
	seen := make(map[string]int)
	for a := range stun.Ask(t.Context(), &net.Dialer{}, servers) {
		seen[a.Server]++
		if a.Server == "stuns:example.org" || a.Server == bad {
			if a.Err == nil || a.Conn != nil || errors.Is(a.Err, stun.ErrDisconnected) != (a.Server == bad) {
				t.Errorf("answer %+v", a)
			}
			continue
		}
		if a.Err != nil || a.Mapped != a.Conn.LocalAddr() || a.RTT <= 0 {
			t.Errorf("answer %+v", a)
			continue
		}
		if _, err := a.Conn.Binding(t.Context()); err != nil {
			t.Errorf("asked again: %v", err)
		}
		if err := a.Conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range servers {
		if want := map[bool]int{true: 2, false: 1}[s == good]; seen[s] != want {
			t.Errorf("%d answers of %s", seen[s], s)
		}
	}
}

func TestAskNobody(t *testing.T) {
	if a, ok := <-stun.Ask(t.Context(), &net.Dialer{}, nil); ok {
		t.Errorf("answer %+v", a)
	}
}

// TestAskCancelled cancels with one answer there, one awaited and one connection not yet made. Each
// server must come up once, without delay.
func TestAskCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, silent := net.Pipe()
		dial := hostDialer{
			"answers:3478": func(context.Context) (net.Conn, error) {
				a, b := net.Pipe()
				go func() { _, _ = b.Write(success(readRequest(t, b), 1)); drain(b) }()
				return a, nil
			},
			"silent:3478":  func(context.Context) (net.Conn, error) { go drain(silent); return answers, nil },
			"blocked:3478": func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		n := 0
		for a := range stun.Ask(ctx, dial, []string{"silent", "blocked", "answers"}) {
			n++
			if a.Server == "answers" {
				if a.Err != nil || n != 1 {
					t.Errorf("answer %d is %+v", n, a)
				} else {
					_ = a.Conn.Close()
				}
			} else if !errors.Is(a.Err, context.Canceled) || a.Conn != nil {
				t.Errorf("answer %d is %+v, want context.Canceled", n, a)
			}
		}
		if took := time.Since(begun); n != 3 || took != time.Second {
			t.Errorf("%d answers after %v", n, took)
		}
	})
}

// hostDialer dials each address in its own way.
type hostDialer map[string]func(context.Context) (net.Conn, error)

func (d hostDialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return d[address](ctx)
}
