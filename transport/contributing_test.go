package transport

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestContributing: CONTRIBUTING.md has a line for each file of these packages, and none for
// others.
func TestContributing(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^\*\*([\w/]+)\*\*$`).Split(string(text), -1)[1:]
	names := regexp.MustCompile(`(?m)^\*\*([\w/]+)\*\*$`).FindAllStringSubmatch(string(text), -1)
	if len(names) < 6 {
		t.Fatalf("%d packages, want 6 at least", len(names))
	}
	for i, section := range sections {
		section, _, _ = strings.Cut(section, "\n## ")
		var patterns []string
		for _, m := range regexp.MustCompile("`([\\w*]+\\.go)`").FindAllStringSubmatch(section, -1) {
			patterns = append(patterns, m[1])
		}
		used := make(map[string]bool)
		files, err := filepath.Glob(filepath.Join("..", names[i][1], "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			file = filepath.Base(file)
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			found := false
			for _, p := range patterns {
				if ok, _ := path.Match(p, file); ok {
					found, used[p] = true, true
				}
			}
			if !found {
				t.Errorf("%s/%s is not there", names[i][1], file)
			}
		}
		for _, p := range patterns {
			if !used[p] {
				t.Errorf("%s has no file %s", names[i][1], p)
			}
		}
	}
}
