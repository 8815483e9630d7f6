package stun

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// discoverTime bounds Discover when the context has no deadline. It needs some
// fifteen round trips, and 2 s of silence, where a NAT gives no answer.
const discoverTime = 8 * time.Second

// A Report is what Discover has found out.
type Report struct {
	Behaviour
	NAT   Fact         // there is one
	Addrs []netip.Addr // the external addresses
	IPv6  bool         // the host has a public IPv6 address, and a route
	UDP   bool         // a server answered over UDP
	// Complete is false if no server answered, or ctx ended before the tests did: more
	// may be found out another time.
	Complete bool
	// Servers are in the order in which they were given.
	Servers []ServerReport
}

// A ServerReport tells of one server.
type ServerReport struct {
	Server       string         // as given
	Addr         netip.AddrPort // at which it was asked; the zero AddrPort if it was not
	Mapped       netip.AddrPort // what it sees of a port of ours; the zero AddrPort without an answer
	Other        netip.AddrPort // its OTHER-ADDRESS, or the zero AddrPort
	ConnectsBack bool           // it has the extension CONNECT-BACK
	RTT          time.Duration

	// Err is what is wrong with the server: an *Error, a *DissentError, or an error
	// that errors.Is finds ErrNoTCP, ErrFamily, ErrPrivateMapped or ErrSameServer in.
	// Where two dissent, with no third to decide, either may lie, or the NAT uses
	// several addresses; each is then taken by itself.
	Err error
}

// Discover finds out how the NATs in front of this host behave with TCP, from new
// local ports. Servers are given as ParseServer takes them.
//
// The mapping takes servers at two addresses, and at two ports of one to tell ADM
// from APDM: several servers, or one that names its other address. The filtering, the
// answer to an unsolicited SYN, and BareSYN take a server that connects back, as
// [Server] does, EIF and ADF one with two addresses. What was not found out is
// unknown.
//
// It takes a few seconds, and 8 s at most without a deadline on ctx. The error
// tells why no server could be asked over TCP; the Report is there nevertheless, unless
// there is no server, or no port that can be shared.
func Discover(ctx context.Context, servers []string) (*Report, error) {
	if len(servers) == 0 {
		return nil, errors.New("stun: discover: no servers")
	}
	ctx, cancel := withTimeout(ctx, discoverTime)
	defer cancel()

	s, err := newScout(ctx, servers)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.survey()
	kept, agreed := judge(s.reports, s.contacts)
	best := choose(kept)
	r := new(Report)
	var o observations
	if best != nil {
		for _, c := range kept {
			if c.addr.Addr().Is4() != best.addr.Addr().Is4() {
				continue // behind other NATs
			}
			if a := c.answer.mapped.Addr(); !slices.Contains(r.Addrs, a) {
				r.Addrs = append(r.Addrs, a)
			}
			// Where it is not known who lies, nobody is compared with others.
			if agreed || c.server == best.server {
				o.shared = append(o.shared, c.sighting())
			}
		}
		r.NAT = Known(best.sighting().translated())
		try(ctx, best, r.Addrs, agreed, &o)
		r.Complete = ctx.Err() == nil
	}
	// Who has not answered yet may, and else it should be known over what.
	s.wait()
	judge(s.reports, s.contacts) // of those, too
	r.Behaviour = conclude(o)
	_, r.IPv6 = PublicIPv6()
	r.UDP = slices.Contains(s.udp, udpAnswered)
	r.Servers = s.reports
	if best != nil {
		return r, nil
	}
	var errs []error
	for _, server := range r.Servers {
		errs = append(errs, server.Err)
	}
	if err := context.Cause(ctx); err != nil {
		errs = append(errs, err)
	}
	return r, errors.Join(errs...)
}

// judge takes out the contacts that lie, or that most others contradict, and says so
// in the reports. The rest agrees unless there is no majority.
func judge(reports []ServerReport, contacts []*contact) (kept []*contact, agreed bool) {
	var votes []Observed
	for _, c := range contacts {
		if err := CheckMapped(c.addr.Addr(), c.answer.mapped.Addr()); err != nil {
			reports[c.server].Err = err
			continue
		}
		kept = append(kept, c)
		votes = append(votes, Observed{Observer: reports[c.server].Server, Mapped: c.answer.mapped})
	}
	agreed = true
	_, dissent := Agree(votes)
	for _, err := range dissent {
		var d *DissentError
		if !errors.As(err, &d) {
			continue
		}
		for i := range reports {
			if reports[i].Server == d.Observer && reports[i].Err == nil {
				reports[i].Err = err
			}
		}
		if !d.Majority.IsValid() {
			agreed = false
		} else {
			kept = slices.DeleteFunc(kept, func(c *contact) bool {
				return c.answer.mapped.Addr() != d.Majority && reports[c.server].Server == d.Observer &&
					c.answer.mapped.Addr().Is4() == d.Majority.Is4()
			})
		}
	}
	return kept, agreed
}

// choose returns the contact that can do most for further tests, the first of
// several. It is nil if there is none.
func choose(contacts []*contact) *contact {
	var best *contact
	score := -1
	for _, c := range contacts {
		n := 0
		if c.answer.back != nil {
			n += 2
		}
		if c.answer.other.IsValid() {
			n++
		}
		if n > score {
			best, score = c, n
		}
	}
	return best
}
