package page

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// written returns a page with punches, checked for what goes for all pages.
func written(t *testing.T, p Page, duels []duel) *html.Node {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, p, duels); err != nil {
		t.Fatal(err)
	}
	doc := parse(t, out.String())
	checkSelfContained(t, doc)
	return doc
}

// parse reads a page, and checks what goes for all of them.
func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for n := range doc.Descendants() {
		if id := attr(n, "id"); ids[id] && id != "" {
			t.Errorf("id %q twice", id)
		}
		ids[attr(n, "id")] = true
	}
	for _, svg := range all(doc, "svg", "role", "img") {
		for _, id := range strings.Fields(attr(svg, "aria-labelledby")) {
			if text(byID(t, doc, id)) == "" {
				t.Errorf("%s is empty", id)
			}
		}
	}
	return doc
}

// checkSelfContained checks that nothing would be fetched from elsewhere.
func checkSelfContained(t *testing.T, doc *html.Node) {
	t.Helper()
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "src", "srcset", "data", "action":
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			case "style":
				if strings.Contains(a.Val, "url(") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			case "href":
				if !strings.HasPrefix(a.Val, "#") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			}
		}
		if n.Type == html.ElementNode && (n.Data == "link" || n.Data == "iframe" || n.Data == "image") {
			t.Errorf("<%s>", n.Data)
		}
		if n.Type == html.ElementNode && n.Data == "style" &&
			(strings.Contains(text(n), "url(") || strings.Contains(text(n), "@import")) {
			t.Error("the style sheet asks for others")
		}
	}
}

// all returns the elements of a name, with an attribute unless key is empty, of that value unless
// that is empty.
func all(doc *html.Node, name, key, value string) (some []*html.Node) {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name &&
			(key == "" || attr(n, key) != "" && (value == "" || attr(n, key) == value)) {
			some = append(some, n)
		}
	}
	return some
}

func byID(t *testing.T, doc *html.Node, id string) *html.Node {
	t.Helper()
	for n := range doc.Descendants() {
		if attr(n, "id") == id {
			return n
		}
	}
	t.Fatalf("nothing has the id %q", id)
	return nil
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
