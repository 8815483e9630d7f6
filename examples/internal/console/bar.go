package console

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// A Bar shows how far a transfer is, while it runs, to a person at a terminal. Elsewhere it shows
// nothing.
type Bar struct {
	bar *progressbar.ProgressBar // nil if there is no terminal
}

// Bar starts a bar behind a label, for a transfer of so many bytes.
func (c *Console) Bar(label string, bytes int64) *Bar {
	if bytes <= 0 || !c.terminal() {
		return &Bar{}
	}
	description := label
	for len(description) < labelWidth-1 { // the bar adds a space
		description += " "
	}
	return &Bar{progressbar.NewOptions64(bytes,
		progressbar.OptionSetWriter(c.w),
		progressbar.OptionSetDescription(description),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// Set says how many bytes are through.
func (b *Bar) Set(bytes int64) {
	if b.bar != nil {
		_ = b.bar.Set64(bytes) // a terminal that is gone is the next line's business
	}
}

// Clear takes the bar off the screen; the line that says the result goes in its place.
func (b *Bar) Clear() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}
