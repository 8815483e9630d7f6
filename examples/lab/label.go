package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// labelling has one line at a time written, whosever it is.
var labelling sync.Mutex

// maxLine is more than the lines that a person reads have, in bytes. Longer ones are broken: a
// command may write no end of line at all.
const maxLine = 64 << 10

// A labelled writes lines with a label before each.
type labelled struct {
	w     io.Writer
	label string
	rest  []byte // of a line that is not complete
}

func newLabelled(w io.Writer, label string) *labelled { return &labelled{w: w, label: label} }

// Write writes the lines that are complete.
func (l *labelled) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	labelling.Lock()
	defer labelling.Unlock()
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		switch {
		case !ok && len(line) < maxLine:
			return len(b), nil
		case !ok:
			line, rest = line[:maxLine], line[maxLine:]
		}
		l.rest = rest
		if err := l.line(line); err != nil {
			return 0, err
		}
	}
}

func (l *labelled) line(text []byte) error {
	_, err := fmt.Fprintln(l.w, strings.TrimRight(fmt.Sprintf("%-7s%s", l.label, text), " "))
	return err
}

// flush writes what is left of a line without an end.
func (l *labelled) flush() error {
	labelling.Lock()
	defer labelling.Unlock()
	if len(l.rest) == 0 {
		return nil
	}
	defer func() { l.rest = nil }()
	return l.line(l.rest)
}
