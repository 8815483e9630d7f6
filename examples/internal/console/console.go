// Package console writes the example programs' output for a user: a label and a line of text at a
// time, a progress bar, and no log unless asked.
package console

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// labelWidth fits the longest label and a gap.
const labelWidth = 10

// A Console writes to a person.
type Console struct {
	w       io.Writer
	passing bool // the last line is one that the next replaces
}

// New returns a Console on w.
func New(w io.Writer) *Console { return &Console{w: w} }

// Line writes a line of text behind a label. An empty label continues the one before.
func (c *Console) Line(label, format string, args ...any) {
	c.Clear()
	fmt.Fprintln(c.w, line(label, format, args...))
}

// Passing writes a line, to a person at a terminal, that the next one replaces. Elsewhere it writes
// nothing.
func (c *Console) Passing(label, format string, args ...any) {
	if !c.terminal() {
		return
	}
	c.Clear()
	fmt.Fprint(c.w, line(label, format, args...))
	c.passing = true
}

// Clear takes a passing line off the screen, if there is one.
func (c *Console) Clear() {
	if c.passing {
		fmt.Fprint(c.w, "\r\x1b[K") // back to the left; erase the line (ECMA-48, EL)
		c.passing = false
	}
}

func line(label, format string, args ...any) string {
	text := fmt.Sprintf("%-*s%s", labelWidth, label, fmt.Sprintf(format, args...))
	return strings.TrimRight(text, " ")
}

// Print writes lines as they are, for what a person copies and pastes.
func (c *Console) Print(lines ...string) {
	for _, l := range lines {
		fmt.Fprintln(c.w, l)
	}
}

// terminal reports whether somebody looks at w.
func (c *Console) terminal() bool {
	f, ok := c.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// OneLine returns an error's text without line breaks.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
