// Package show prints the events of a pair of peers for a user.
package show

import (
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
)

// A Dialler shows the dialling side's events.
type Dialler struct {
	Out         *console.Console
	Self, Other string // what to call the two sides
	Bytes       int64  // that will be sent

	bar *console.Bar // while they are
}

// Event shows one event.
func (d *Dialler) Event(e pair.Event) {
	switch e.Kind {
	case pair.Ready:
		if e.Err != "" {
			NoSTUN(d.Out, e)
		}
	case pair.Relayed:
		d.Out.Line("relayed", "%s is connected to %s through the relay", d.Self, d.Other)
	case pair.Offered:
		d.Out.Line("address", "%s is %s", d.Self, Addrs(e.Own))
		d.Out.Line("", "%s is %s", d.Other, Addrs(e.Theirs))
	case pair.Punched:
		d.Out.Line("punch", "%s made %s", d.Self, Punch(e))
	case pair.Direct:
		d.Out.Line("direct", "up after %s, to %s", console.Millis(e.Took), e.Addr)
	case pair.RelayedRTT:
		d.Out.Line("RTT", "%s relayed", console.Millis(e.Took))
	case pair.DirectRTT:
		d.Out.Line("", "%s direct", console.Millis(e.Took))
	case pair.Sending:
		if d.bar == nil {
			d.bar = d.Out.Bar("sending", d.Bytes)
		}
		d.bar.Set(e.Bytes)
	case pair.Sent:
		d.Clear()
		if d.Bytes == 0 {
			return // it was only to ask how the connection came up
		}
		size := console.Size(e.Bytes)
		if e.Bytes < d.Bytes {
			size += " of " + console.Size(d.Bytes) // the time was up
		}
		d.Out.Line("sent", "%s at %s, confirmed by SHA-256", size, console.Rate(e.Bytes, e.Took))
	case pair.SentRelayed:
		d.Out.Line("", "%s at %s over the relay", console.Size(e.Bytes), console.Rate(e.Bytes, e.Took))
	}
}

// NoSTUN prints that no STUN server answers, and what follows.
func NoSTUN(out *console.Console, ready pair.Event) {
	out.Paragraph("warning", ready.Err)
	out.Paragraph(" ", "No STUN server has told this side's address; the relay will, if it speaks TCP.")
}

// Clear takes the progress bar away, if there is one.
func (d *Dialler) Clear() {
	if d.bar != nil {
		d.bar.Clear()
		d.bar = nil
	}
}

// Punch sums up a punch that is over.
func Punch(e pair.Event) string {
	text := fmt.Sprintf("%d connects", e.Connects)
	switch e.Connects {
	case 0:
		text = "no connect"
	case 1:
		text = "1 connect"
	}
	if e.Refused > 0 {
		text += fmt.Sprintf(", %d refused", e.Refused)
	}
	if e.Silent > 0 {
		text += fmt.Sprintf(", %d without an answer", e.Silent)
	}
	return text
}

// Addrs lists addresses.
func Addrs(as []ma.Multiaddr) string {
	texts := make([]string, len(as))
	for i, a := range as {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// ShortID returns the end of a peer ID, which suffices to recognise the peer.
func ShortID(p peer.ID) string {
	s := p.String()
	return s[max(0, len(s)-8):]
}
