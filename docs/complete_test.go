package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestReasons: troubleshooting.md has the code of every error.
func TestReasons(t *testing.T) {
	t.Parallel()
	text := read(t, "troubleshooting.md")
	for _, r := range holepunch.Reasons() {
		if r != holepunch.ErrElsewhere && !strings.Contains(text, "`"+string(r)+"`") {
			t.Errorf("troubleshooting.md does not have the reason %q", string(r))
		}
	}
}

// TestOptions: options.md has a row for each option.
func TestOptions(t *testing.T) {
	t.Parallel()
	text := read(t, "options.md")
	options := regexp.MustCompile(`(?m)^func (With\w+)`).FindAllStringSubmatch(read(t, "../transport/options.go"), -1)
	if len(options) < 10 {
		t.Fatalf("%d options, want 10 at least", len(options))
	}
	for _, o := range options {
		if !strings.Contains(text, "| `"+o[1]+"(") {
			t.Errorf("options.md does not have %s", o[1])
		}
	}
}
