package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNext(t *testing.T) {
	for _, test := range []struct {
		now   string
		every time.Duration
		want  string
	}{
		{"2026-11-24T23:59:30.5Z", time.Minute, "2026-11-25T00:00:00Z"},
		{"2026-11-24T23:59:00Z", time.Minute, "2026-11-25T00:00:00Z"}, // a slot that is now has begun
		{"2026-11-24T23:58:59.999999999Z", time.Minute, "2026-11-24T23:59:00Z"},
		{"2026-11-24T12:00:03Z", 10 * time.Second, "2026-11-24T12:00:10Z"},
		{"2026-11-24T12:00:03.2Z", 1500 * time.Millisecond, "2026-11-24T12:00:04.5Z"},
		{"1970-01-01T00:00:08Z", 7 * time.Second, "1970-01-01T00:00:14Z"},
		{"2026-11-24T23:59:30+05:30", time.Hour, "2026-11-24T19:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339Nano, test.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := next(now, test.every).UTC().Format(time.RFC3339Nano); got != test.want {
			t.Errorf("after %s every %s: %s, want %s", test.now, test.every, got, test.want)
		}
	}
}

func TestWait(t *testing.T) {
	c := clock{offset: -17 * time.Second}
	at := c.now().Add(50 * time.Millisecond)
	ticks := 0
	if err := c.wait(t.Context(), at, func(time.Duration) { ticks++ }); err != nil {
		t.Fatal(err)
	}
	if now := c.now(); now.Before(at) {
		t.Errorf("waited until %s, want %s", now, at)
	}
	if ticks == 0 {
		t.Error("no tick")
	}
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var left []time.Duration
		err := clock{}.wait(ctx, time.Now().Add(59*time.Second+500*time.Millisecond), func(d time.Duration) {
			if left = append(left, d); len(left) == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if len(left) != 3 || left[1] != 59*time.Second || left[2] != 58*time.Second {
			t.Errorf("ticks with %v left, want whole seconds", left)
		}
	})
}

// Clocks that are 300 ms wrong on both sides have time in common in every slot.
func TestWindow(t *testing.T) {
	const apart = 600 * time.Millisecond
	for _, every := range []time.Duration{minEvery, 2 * time.Second, 10 * time.Second, time.Minute, time.Hour} {
		if w := window(every); w >= every || w-apart < 300*time.Millisecond {
			t.Errorf("every %s: a window of %s", every, w)
		}
	}
}
