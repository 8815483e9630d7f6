package natlab

import (
	"fmt"
	"time"
)

// A Place is a side of a site's NAT.
type Place uint8

const (
	Inside  Place = iota // the LAN
	Outside              // the WAN
)

func (p Place) String() string {
	if p == Inside {
		return "inside"
	}
	return "outside"
}

// A Direction is where a packet goes, seen from a site.
type Direction uint8

const (
	Outbound Direction = iota
	Inbound
)

func (d Direction) String() string {
	if d == Outbound {
		return "outbound"
	}
	return "inbound"
}

// A Fate is what happens to a packet.
type Fate uint8

const (
	Forwarded Fate = iota // goes on
	Dropped               // goes no further
	Answered              // goes no further, and its sender gets an answer
	Lost                  // lost on the site's link
)

func (f Fate) String() string {
	return [...]string{"forwarded", "dropped", "answered", "lost"}[f]
}

// An Event is one packet on one side of a site's NAT. A packet that passes makes two events: before
// and after translation.
type Event struct {
	Time      time.Time
	Site      *Site
	Place     Place
	Direction Direction
	Fate      Fate
	Reason    string // for all but Forwarded
	Packet    []byte // from the IP header on; a copy, to keep
}

// String is the event on one line, as in
//
//	15:04:05.000000 home outside inbound answered (filtered) TCP 46.0.2.1:4001 > 46.0.1.1:4001 SYN
func (e Event) String() string {
	fate := e.Fate.String()
	if e.Reason != "" {
		fate += " (" + e.Reason + ")"
	}
	what := "malformed packet"
	if p, err := Parse(e.Packet); err == nil {
		what = p.String()
	}
	return fmt.Sprintf("%s %s %s %s %s %s", e.Time.Format("15:04:05.000000"),
		e.Site.Name(), e.Place, e.Direction, fate, what)
}
