package docs

import (
	"regexp"
	"strings"
	"testing"
)

// maxWords is how long a README may be for readers who want to know whether simopen helps them.
const maxWords = 1000

func TestREADMEIsShort(t *testing.T) {
	t.Parallel()
	text, _, _ := strings.Cut(read(t, "../README.md"), "\n## Licence")
	if n := len(strings.Fields(text)); n > maxWords {
		t.Errorf("the README has %d words before its licence, want %d at most", n, maxWords)
	}
}

// TestREADMEFigures: the times that the README compares are those of a row in comparison.md.
func TestREADMEFigures(t *testing.T) {
	t.Parallel()
	comparison := read(t, "comparison.md")
	rows := regexp.MustCompile(`(?m)^\|.*\| ([\d,]+) ms \| ([\d,]+) ms \|$`).FindAllStringSubmatch(read(t, "../README.md"), -1)
	if len(rows) < 3 {
		t.Fatalf("%d rows with times, want 3 at least", len(rows))
	}
	for _, row := range rows {
		simopen, dcutr := strings.ReplaceAll(row[1], ",", ""), strings.ReplaceAll(row[2], ",", "")
		if !regexp.MustCompile(`(?m)^\|.*\| ` + simopen + `[ ,].*\| ` + dcutr + `[ ,]`).MatchString(comparison) {
			t.Errorf("comparison.md does not have %s and %s ms in one row", simopen, dcutr)
		}
	}
}

// TestGoCode: the Go code that these documents show is part of a file that is compiled, and nearly
// always run. Code of other modules opens with "``` go" in its place.
func TestGoCode(t *testing.T) {
	t.Parallel()
	var compiled strings.Builder
	for _, file := range []string{
		"../holepunch/doc.go",
		"../transport/example_fallback_test.go",
		"../transport/example_peers_test.go",
		"../transport/example_private_test.go",
		"../transport/example_test.go",
	} {
		compiled.WriteString(unindented(read(t, file)))
	}
	for _, document := range []string{"../README.md", "options.md", "applications.md"} {
		blocks := strings.Split(read(t, document), "\n```go\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s shows no Go code", document)
		}
		for _, block := range blocks {
			code, _, _ := strings.Cut(block, "```")
			if !strings.Contains(compiled.String(), unindented(code)) {
				t.Errorf("%s shows code that is not compiled:\n%s", document, code)
			}
		}
	}
}

// unindented returns code without the white space that depends on where the code is, also in a
// comment.
func unindented(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "//"))
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}
