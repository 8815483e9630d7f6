package stun

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// discoverTime bounds Discover when the context has no deadline. It takes some fifteen round trips,
// and 2 s of silence where a NAT sends no answer, or 4 s where it lets no bare SYN in.
const discoverTime = 10 * time.Second

// A Report is the result of Discover.
type Report struct {
	Behaviour
	NAT   Fact         // whether there is one
	Addrs []netip.Addr // the external addresses
	IPv6  bool         // the host has a public IPv6 address, and a route
	UDP   bool         // a server answered over UDP
	// Complete is false if no server answered, if ctx ended before the tests did, or if the server
	// stopped answering or connecting back. Another call may find out more.
	Complete bool
	// Servers are in the order in which they were given.
	Servers []ServerReport
}

// A ServerReport describes one server.
type ServerReport struct {
	Server       string         // as given
	Addr         netip.AddrPort // where it was asked; the zero AddrPort if it was not
	Mapped       netip.AddrPort // the mapped address that it reported; the zero AddrPort without a response
	Other        netip.AddrPort // its OTHER-ADDRESS, or the zero AddrPort
	ConnectsBack bool           // it has the extension CONNECT-BACK
	RTT          time.Duration

	// Err is the server's fault: an *Error, a *DissentError, or an error in which errors.Is finds
	// ErrNoTCP, ErrFamily, ErrPrivateMapped or ErrSameServer. Where two servers dissent, with no
	// third to decide, either may lie, or the NAT uses several addresses. Each is then evaluated by
	// itself.
	Err error
}

// A Discoverer finds out how NATs behave. The zero Discoverer is ready for use.
type Discoverer struct {
	// Control gets every socket before it is bound, as in [net.Dialer]. Nil for none.
	Control func(network, address string, c syscall.RawConn) error
}

// Discover finds out how the NATs in front of this host treat TCP, using new local ports. Servers
// are in a form that ParseServer accepts.
//
// To find the mapping, Discover needs servers at two addresses, and at two ports of one to
// distinguish ADM from APDM: several servers, or one with an OTHER-ADDRESS. To find the filtering,
// the answer to an unsolicited SYN, and BareSYN, it needs a server that connects back, as [Server]
// does. To distinguish EIF from ADF, that server needs two addresses. What was not found out is
// unknown.
//
// Discover takes a few seconds, and without a deadline on ctx 10 s at most. It returns an error if
// no server could be asked over TCP. The Report is then returned as well, unless there are no
// servers or no local port can be shared.
func Discover(ctx context.Context, servers []string) (*Report, error) {
	return Discoverer{}.Discover(ctx, servers)
}

// Discover is the function [Discover] with the sockets of d.
func (d Discoverer) Discover(ctx context.Context, servers []string) (*Report, error) {
	if len(servers) == 0 {
		return nil, errors.New("stun: discover: no servers")
	}
	ctx, cancel := withTimeout(ctx, discoverTime)
	defer cancel()

	s, err := newSurvey(ctx, servers, d.Control)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.run()
	kept, agreed := filterContacts(s.reports, s.contacts)
	best := choose(kept)
	r := new(Report)
	var o observations
	if best != nil {
		for _, c := range kept {
			if c.addr.Addr().Is4() != best.addr.Addr().Is4() {
				continue // behind other NATs
			}
			if a := c.response.mapped.Addr(); !slices.Contains(r.Addrs, a) {
				r.Addrs = append(r.Addrs, a)
			}
			// Where the servers disagree, one of them may lie, and their responses are not
			// compared.
			if agreed || c.server == best.server {
				o.shared = append(o.shared, c.observed())
			}
		}
		r.NAT = Known(best.observed().translated())
		r.Complete = s.test(ctx, best, r.Addrs, agreed, &o)
		for _, c := range o.fresh { // a NAT with several addresses may show others here
			if !slices.Contains(r.Addrs, c.Mapped.Addr()) {
				r.Addrs = append(r.Addrs, c.Mapped.Addr())
			}
		}
	}
	s.wait()                              // for the transport over which late servers answer
	filterContacts(s.reports, s.contacts) // with the late ones
	r.Behaviour = classify(o)
	_, r.IPv6 = tcpport.PublicIPv6(d.Control)
	r.UDP = slices.Contains(s.udp, true)
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

// filterContacts removes the contacts whose mapped addresses are impossible, or contradict a
// majority, and enters the reason into the reports. The others agree unless there is no majority.
func filterContacts(reports []ServerReport, contacts []*contact) (kept []*contact, agreed bool) {
	var votes []Observed
	for _, c := range contacts {
		if err := CheckMapped(c.addr.Addr(), c.response.mapped.Addr()); err != nil {
			reports[c.server].Err = err
			continue
		}
		kept = append(kept, c)
		votes = append(votes, Observed{Observer: reports[c.server].Server, Mapped: c.response.mapped})
	}
	agreed = true
	_, dissent := Agree(votes)
	for _, err := range dissent {
		d := err.(*DissentError)
		if !d.Majority.IsValid() && oneServer(kept) {
			agreed = false
			continue // no contradiction: the NAT has several addresses, or the server lies
		}
		for i := range reports {
			if r := &reports[i]; r.Server == d.Observer && r.Err == nil {
				r.Err = d
			}
		}
		if !d.Majority.IsValid() {
			agreed = false
			continue
		}
		kept = slices.DeleteFunc(kept, func(c *contact) bool {
			return c.response.mapped == d.Mapped && reports[c.server].Server == d.Observer
		})
	}
	return kept, agreed
}

// oneServer reports whether all contacts are of one server.
func oneServer(contacts []*contact) bool {
	return !slices.ContainsFunc(contacts, func(c *contact) bool { return c.server != contacts[0].server })
}

// choose returns the first contact that supports the most tests, or nil if there are no contacts.
func choose(contacts []*contact) *contact {
	if len(contacts) == 0 {
		return nil
	}
	score := func(c *contact) (n int) {
		if c.response.back != nil {
			n += 2
		}
		if c.response.other.IsValid() {
			n++
		}
		return n
	}
	return slices.MaxFunc(contacts, func(a, b *contact) int { return score(a) - score(b) })
}
