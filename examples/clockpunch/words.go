package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// advice is what a person can check when a punch has failed.
var advice = []string{
	"Does the other side run at the same time, with the same -every?",
	"Are both clocks right to 0.3 s? -ntp corrects them.",
	"Is each side's -port the one that the other has in its command, and does its NAT",
	"keep it? examples/stunclient asks for the port as seen from outside; if it is not",
	"the same for every server, the NAT cannot be predicted.",
}

// explain says in one line why no slot's punch came to anything; t is the last one's.
func explain(err error, t tally, peer netip.AddrPort) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(t.dropped, errSelf):
		return selfWords(peer)
	case errors.Is(t.dropped, errStranger):
		return fmt.Sprintf("something else than clockpunch answers at %s", peer)
	case errors.Is(t.dropped, context.DeadlineExceeded):
		return fmt.Sprintf("a connection to %s came up, but nothing came over it before the time was up", peer)
	case t.dropped != nil:
		return fmt.Sprintf("a connection to %s came up, and broke before both sides had agreed on it: %s", peer, console.OneLine(cause(t.dropped)))
	case t.punch.Refused > 0:
		return fmt.Sprintf("%s refuses: no connect of the other side's came to meet one of this side's", peer)
	case t.punch.Err != nil && !isTimeout(t.punch.Err):
		return fmt.Sprintf("cannot connect to %s: %s", peer, console.OneLine(cause(t.punch.Err)))
	default:
		return fmt.Sprintf("nothing comes from %s: nobody is there, or its NAT drops what this side sends", peer)
	}
}

func selfWords(peer netip.AddrPort) string {
	return fmt.Sprintf("%s leads back to this program: name the other side's address", peer)
}

// isTimeout reports whether an error means that no answer came.
func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// cause returns the kernel's part of an error of package net.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func connects(r punch.Result) string {
	text := fmt.Sprintf("%d connects", r.Connects)
	if r.Connects == 1 {
		text = "1 connect"
	}
	if r.Refused > 0 {
		text += fmt.Sprintf(", %d refused", r.Refused)
	}
	return text
}

// slotTime is a slot's time of day. People far apart compare it, so it is UTC.
func slotTime(t time.Time) string { return t.UTC().Format("15:04:05.999") + " UTC" }

// plus is what is added to a clock, as in " + 2.5s".
func plus(d time.Duration) string {
	switch {
	case d > 0:
		return " + " + d.String()
	case d < 0:
		return " - " + (-d).String()
	}
	return ""
}
