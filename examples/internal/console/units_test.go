package console

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0:       "0 B",
		1023:    "1023 B",
		1024:    "1.0 KiB",
		8 << 20: "8.0 MiB",
		5 << 40: "5120.0 GiB",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("%d: got %q, want %q", bytes, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	if got, want := Rate(8<<20, 2*time.Second), "4.0 MiB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Rate(1, 0), "-"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
