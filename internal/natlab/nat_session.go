package natlab

import (
	"cmp"
	"time"
)

// Idle times after which a session is over. A packet in either direction starts them anew.
const (
	udpIdle            = 5 * time.Minute             // RFC 4787, REQ-5: recommended
	tcpTransitoryIdle  = 4 * time.Minute             // RFC 5382, REQ-5: opening, or half closed
	tcpEstablishedIdle = 2*time.Hour + 4*time.Minute // RFC 5382, REQ-5
	// tcpClosedIdle is as long as Linux keeps a session after a RST
	// (nf_conntrack_tcp_timeout_close), here also after both FINs: time for their acknowledgements,
	// and for a connect that is tried again.
	tcpClosedIdle = 10 * time.Second
)

// A session is the state of a mapping for one remote endpoint. A packet that went out, or one that
// the filter admitted, makes it. It therefore also admits the endpoint.
type session struct {
	expires  time.Time
	answered bool    // something has come in
	syn, fin [2]bool // seen, by Direction
	rst      bool
}

func (s *session) live(now time.Time) bool { return now.Before(s.expires) }

// pass records a packet of the session.
func (s *session) pass(now time.Time, p Packet, d Direction, b Behaviour) {
	s.expires = now.Add(s.idle(p, d, b))
	s.answered = s.answered || d == Inbound
}

func (s *session) idle(p Packet, d Direction, b Behaviour) time.Duration {
	if p.UDP() {
		return udpIdle
	}
	flags := p.Flags()
	if flags&SYN != 0 {
		if s.closed() {
			*s = session{} // the endpoints are used again
		}
		s.syn[d] = true
	}
	if flags&FIN != 0 {
		s.fin[d] = true
	}
	if flags&RST != 0 {
		s.rst = true
	}
	switch {
	case s.closed():
		return tcpClosedIdle
	case s.syn[Outbound] && s.syn[Inbound] && !s.fin[Outbound] && !s.fin[Inbound]:
		return cmp.Or(b.Forgets, tcpEstablishedIdle)
	default:
		return tcpTransitoryIdle
	}
}

func (s *session) closed() bool { return s.rst || s.fin[Outbound] && s.fin[Inbound] }
