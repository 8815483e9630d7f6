package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestLinks: every file and every heading that a document of the repository links to exists.
func TestLinks(t *testing.T) {
	t.Parallel()
	documents := documents(t)
	if len(documents) < 10 {
		t.Fatalf("%d documents, want 10 at least", len(documents))
	}
	for _, document := range documents {
		for _, link := range links(read(t, document)) {
			target, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if target.IsAbs() {
				continue
			}
			file := document
			if target.Path != "" {
				file = filepath.Join(filepath.Dir(document), target.Path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, link)
				continue
			}
			if target.Fragment != "" && !anchors(read(t, file))[target.Fragment] {
				t.Errorf("%s links to %s, and there is no such heading", document, link)
			}
		}
	}
}

// documents returns the paths of all documents of the repository.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	indented = regexp.MustCompile(`(?m)^(    |\t).*$`)
	span     = regexp.MustCompile("`[^`\n]*`")
	inline   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	named    = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

// links returns the targets of a document's links, and of its pictures.
func links(text string) (targets []string) {
	text = indented.ReplaceAllString(fenced.ReplaceAllString(text, ""), "")
	for _, m := range inline.FindAllStringSubmatch(span.ReplaceAllString(text, ""), -1) {
		targets = append(targets, m[1])
	}
	return targets
}

// anchors returns the names by which the headings of a document are linked to, as GitHub makes
// them.
func anchors(text string) map[string]bool {
	names := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, named.ReplaceAllString(m[1], "$1"))
		unique := name
		for n := 1; names[unique]; n++ {
			unique = name + "-" + strconv.Itoa(n)
		}
		names[unique] = true
	}
	return names
}
