package docs

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestVectors: protocol.md has the bytes of each test vector, under its name.
func TestVectors(t *testing.T) {
	t.Parallel()
	text := read(t, "protocol.md")
	files, err := filepath.Glob("../holepunch/testdata/*.hex")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d test vectors, want 10 at least: %v", len(files), err)
	}
	for _, file := range files {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(filepath.Base(file)) + " .* `([0-9a-f]+)` \\|$").FindStringSubmatch(text)
		if row == nil || row[1] != strings.Join(strings.Fields(read(t, file)), "") {
			t.Errorf("protocol.md does not have the bytes of %s", file)
		}
	}
}

// TestProto: protocol.md has every field and every constant of the messages, with its number.
func TestProto(t *testing.T) {
	t.Parallel()
	_, block, _ := strings.Cut(read(t, "protocol.md"), "```proto\n")
	block, _, _ = strings.Cut(block, "```")
	want, got := numbered(read(t, "../internal/pb/holepunch.proto")), numbered(block)
	if len(want) < 40 {
		t.Fatalf("%d fields and constants, want 40 at least", len(want))
	}
	if !slices.Equal(got, want) {
		t.Errorf("protocol.md has\n%q, want\n%q", got, want)
	}
}

// numbered returns what has a number in a protobuf definition, sorted.
func numbered(proto string) []string {
	found := make(map[string]bool)
	for line := range strings.Lines(proto) {
		code, _, _ := strings.Cut(line, "//")
		for _, m := range regexp.MustCompile(`(?:(?:repeated )?\w+ )?\w+ = \d+;`).FindAllString(code, -1) {
			found[strings.TrimSpace(m)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
