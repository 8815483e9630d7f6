package console

import "strings"

// columns is how wide a paragraph is: the usual width of a terminal.
const columns = 80

// Paragraph writes a text behind a label, in lines that break between words. The lines after the
// first are set in by the label's width. Without a label none is, and behind a blank one all are.
func (c *Console) Paragraph(label, text string) {
	width := columns
	if label != "" {
		width -= labelWidth
	}
	for _, l := range wrap(text, width) {
		if label == "" {
			c.Line(l, "")
		} else {
			c.Line(strings.TrimSpace(label), "%s", l)
			label = " "
		}
	}
}

// wrap breaks a text between words. A word that is longer than width has a line of its own.
func wrap(text string, width int) (lines []string) {
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
