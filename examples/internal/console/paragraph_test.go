package console

import (
	"bytes"
	"strings"
	"testing"
)

func TestParagraph(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("words ", 13)) // 77 columns
	for name, test := range map[string]struct{ label, text, want string }{
		"fits":     {"", words, words + "\n"},
		"breaks":   {"", words + " and more", words + "\nand more\n"},
		"label":    {"problem", words, "problem   " + words[:65] + "\n          words words\n"},
		"set in":   {" ", "words", "          words\n"},
		"too long": {"", strings.Repeat("x", 200) + " y", strings.Repeat("x", 200) + "\ny\n"},
		"empty":    {"", "", ""},
	} {
		var b bytes.Buffer
		New(&b).Paragraph(test.label, test.text)
		if b.String() != test.want {
			t.Errorf("%s: got %q, want %q", name, b.String(), test.want)
		}
	}
}
