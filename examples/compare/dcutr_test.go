package main

import "testing"

func TestLastCause(t *testing.T) {
	const failed = "failed to dial: all dials failed\n"
	for text, want := range map[string]string{
		failed + "  * [/ip4/46.0.2.1/tcp/40903] dial tcp4 0.0.0.0:34681->46.0.2.1:40903: i/o timeout":                         "i/o timeout",
		failed + "  * [/ip4/46.0.2.1/tcp/1] one\n  * [/ip4/46.0.2.1/tcp/2] dial tcp4 46.0.2.1:2: connect: connection refused": "connect: connection refused",
		failed + "  * [/ip4/46.0.2.1/tcp/1] failed to negotiate security protocol: EOF":                                       "failed to negotiate security protocol: EOF",
		"context deadline exceeded": "context deadline exceeded",
		"":                          "",
	} {
		if got := lastCause(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
