package console

import (
	"context"
	"log/slog"
	"testing"
)

func TestLog(t *testing.T) {
	for _, test := range []struct {
		levels  string
		verbose bool
		on      bool
	}{
		{"", false, false},
		{"", true, true},
		{"debug", false, true},
		{"debug", true, true},
	} {
		t.Setenv(levelsEnv, test.levels)
		if on := Log(test.verbose); on != test.on {
			t.Errorf("%+v: got %v", test, on)
		}
	}
}

func TestOwnLogs(t *testing.T) {
	for name, want := range map[string]bool{"simopen": true, "relay": true, "swarm2": false} {
		h := ownLogs{textLogs(slog.LevelError)}.WithAttrs([]slog.Attr{slog.String("logger", name)})
		if got := h.Enabled(context.Background(), slog.LevelDebug); got != want {
			t.Errorf("%s: debugging is on: %v", name, got)
		}
		if !h.Enabled(context.Background(), slog.LevelError) {
			t.Errorf("%s: errors are off", name)
		}
	}
}
