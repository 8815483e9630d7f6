package page

import (
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A station is one of the four that a packet passes, from left to right. Peer A is the dialler, and
// peer B the listener.
type station int

const (
	peerA station = iota
	natA
	natB
	peerB
)

var stationNames = [...]string{peerA: "dialler", natA: "dialler’s NAT", natB: "listener’s NAT", peerB: "listener"}

func (s station) String() string { return stationNames[s] }

// A side is one of the two sites.
type side int

const (
	sideA side = iota
	sideB
)

func (s side) peer() station { return [...]station{peerA, peerB}[s] }
func (s side) nat() station  { return [...]station{natA, natB}[s] }

// A journey is one packet, from where it began to where it ended.
type journey struct {
	header              // as between the two NATs, if it came that far
	from, to    station // it began at from; to is the last that had it
	left        time.Time
	arrived     time.Time // at to
	fate        natlab.Fate
	reason      string         // for every fate but Forwarded
	innerSrc    netip.AddrPort // at the sending peer; not valid if a NAT made it
	innerDst    netip.AddrPort // at the receiving peer; not valid if it did not get there
	flying      bool           // it was still on its way when the capture ended
	lostLeaving bool           // lost on the sender's link, not on the receiver's
}

// sender returns the side that it comes from.
func (j *journey) sender() side {
	if j.from == peerA || j.from == natA {
		return sideA
	}
	return sideB
}

// crossed reports whether it got to the other side.
func (j *journey) crossed() bool {
	return !j.flying && (j.to == (1-j.sender()).nat() || j.to == (1-j.sender()).peer())
}

// came reports whether it got to the peer that it was for.
func (j *journey) came() bool {
	return !j.flying && j.fate == natlab.Forwarded && j.to == (1-j.sender()).peer()
}

// A pairing makes journeys of the events of two sites. A packet that gets through makes four
// events: at the inner and the outer side of the sender's NAT at the same instant, and of the
// receiver's. Between the NATs its bytes do not change, so they show which arrival belongs to which
// departure; two packets of the same bytes stay in order.
type pairing struct {
	outer    [2]netip.Addr // by which the sides know each other
	flying   [2]map[string][]*journey
	leaving  [2]*journey // seen inside, to be seen outside at the same instant
	entering [2]*journey
	journeys []*journey
}

// pair finds the journeys between the two hosts, in the order of departure.
func pair(a, b *natlab.Host, events []natlab.Event) []*journey {
	p := &pairing{outer: [2]netip.Addr{outerAddr(a), outerAddr(b)}}
	for i := range p.flying {
		p.flying[i] = make(map[string][]*journey)
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(x, y natlab.Event) int { return x.Time.Compare(y.Time) })
	for _, e := range events {
		switch e.Site {
		case a.Site():
			p.add(sideA, e)
		case b.Site():
			p.add(sideB, e)
		}
	}
	slices.SortStableFunc(p.journeys, func(x, y *journey) int { return x.left.Compare(y.left) })
	return p.journeys
}

// outerAddr returns the address at which a host appears outside its NAT.
func outerAddr(h *natlab.Host) netip.Addr {
	if a := h.Site().External(); a.IsValid() {
		return a
	}
	return h.Addr() // public
}

func (p *pairing) add(s side, e natlab.Event) {
	h, ok := parseHeader(e.Packet)
	if !ok {
		return
	}
	remote := h.dst
	if e.Direction == natlab.Inbound {
		remote = h.src
	}
	if remote.Addr() != p.outer[1-s] {
		return // with the relay, or a STUN server
	}
	switch {
	case e.Direction == natlab.Outbound && e.Place == natlab.Inside:
		p.leaveInside(s, e, h)
	case e.Direction == natlab.Outbound:
		p.leaveOutside(s, e, h)
	case e.Place == natlab.Outside:
		p.enterOutside(s, e, h)
	default:
		p.enterInside(s, e, h)
	}
}

func (p *pairing) begin(from station, e natlab.Event, h header) *journey {
	j := &journey{header: h, from: from, to: from, left: e.Time, arrived: e.Time, fate: e.Fate, reason: e.Reason}
	p.journeys = append(p.journeys, j)
	return j
}

func (p *pairing) leaveInside(s side, e natlab.Event, h header) {
	j := p.begin(s.peer(), e, h)
	j.innerSrc = h.src
	j.to = s.nat()
	p.leaving[s] = j
}

func (p *pairing) leaveOutside(s side, e natlab.Event, h header) {
	j := p.leaving[s]
	p.leaving[s] = nil
	if j != nil && j.left.Equal(e.Time) {
		j.header, j.fate, j.reason = h, e.Fate, e.Reason
	} else {
		j = p.begin(s.nat(), e, h) // the NAT's own answer to what it has refused
	}
	if e.Fate == natlab.Forwarded {
		j.flying = true
		p.flying[s][string(e.Packet)] = append(p.flying[s][string(e.Packet)], j)
	}
	j.lostLeaving = e.Fate == natlab.Lost
}

func (p *pairing) enterOutside(s side, e natlab.Event, h header) {
	key := string(e.Packet)
	waiting := p.flying[1-s][key]
	var j *journey
	if len(waiting) > 0 {
		j, p.flying[1-s][key] = waiting[0], waiting[1:]
	} else {
		j = p.begin((1 - s).nat(), e, h) // it left before the capture began
	}
	j.flying = false
	j.to, j.arrived, j.fate, j.reason = s.nat(), e.Time, e.Fate, e.Reason
	p.entering[s] = j
}

func (p *pairing) enterInside(s side, e natlab.Event, h header) {
	j := p.entering[s]
	p.entering[s] = nil
	if j == nil || !j.arrived.Equal(e.Time) {
		return // by another way than past its NAT
	}
	j.to, j.fate, j.reason, j.innerDst = s.peer(), e.Fate, e.Reason, h.dst
}
