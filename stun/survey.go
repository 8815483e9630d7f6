package stun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// contactTime bounds the time in which a server must answer over TCP: SYNs leave at 0, 1 and 2
	// or 3 s.
	contactTime = 3 * time.Second

	// surveyGrace is how long the other servers may take after the first has answered: a lost SYN
	// is repeated after 1 s.
	surveyGrace = 1500 * time.Millisecond

	// maxAlternates bounds the endpoints from OTHER-ADDRESS that are asked besides the caller's
	// servers: three for each of two servers. Two of each three may be anybody's.
	maxAlternates = 6
)

// A survey asks all servers, concurrently, from one port.
type survey struct {
	ctx     context.Context
	port    *tcpport.Port
	control tcpport.Control

	reports  []ServerReport
	udp      []bool     // whether each server answers over UDP; valid after wait
	contacts []*contact // with a response, in the order in which they came

	asking     sync.WaitGroup
	results    chan *contact // has room for all
	pending    int           // results to come
	alternates int           // asked so far

	asked sync.Map // the set of endpoints
}

// A contact is an endpoint of a server that was asked.
type contact struct {
	server   int // its index
	addr     netip.AddrPort
	conn     *Conn
	response response
	rtt      time.Duration
	err      error

	alternate bool // not the endpoint that the caller named
}

func (c *contact) observed() ObservedConn {
	return ObservedConn{Local: c.conn.LocalAddr(), Server: c.addr, Mapped: c.response.mapped}
}

func newSurvey(ctx context.Context, servers []string, control tcpport.Control) (*survey, error) {
	port, err := tcpport.Open(nil, control)
	if err != nil {
		return nil, err
	}
	s := &survey{
		ctx:     ctx,
		port:    port,
		control: control,
		udp:     make([]bool, len(servers)),
		results: make(chan *contact, len(servers)+maxAlternates),
		pending: len(servers),
	}
	for i, server := range servers {
		s.reports = append(s.reports, ServerReport{Server: server})
		s.asking.Go(func() { s.results <- s.askServer(i, server) })
	}
	return s, nil
}

// askServer resolves a server's name, and asks it over TCP and UDP.
func (s *survey) askServer(i int, server string) *contact {
	addr, err := s.resolve(server)
	if err != nil {
		return &contact{server: i, err: err}
	}
	if !s.isNew(addr) {
		return &contact{server: i, addr: addr, err: ErrSameServer}
	}
	s.asking.Go(func() { s.udp[i] = respondsOverUDP(s.ctx, addr, s.control) })
	return s.ask(i, addr)
}

// isNew reports whether addr has not been asked, and counts it as asked from now on.
func (s *survey) isNew(addr netip.AddrPort) bool {
	_, asked := s.asked.LoadOrStore(addr, true)
	return !asked
}

// ask asks an endpoint of a server over TCP.
func (s *survey) ask(server int, addr netip.AddrPort) *contact {
	c := &contact{server: server, addr: addr}
	ctx, cancel := context.WithTimeout(s.ctx, contactTime)
	defer cancel()
	if c.conn, c.err = Dial(ctx, s.port, addr.String()); c.err != nil {
		return c
	}
	begun := time.Now()
	c.response, c.err = c.conn.roundTrip(ctx, connectBack{}) // to learn whether it connects back
	c.rtt = time.Since(begun)
	if refused := (*ResponseError)(nil); errors.As(c.err, &refused) {
		c.response, c.err = c.conn.roundTrip(ctx) // it should have ignored CONNECT-BACK
	}
	if c.err != nil {
		c.err = &Error{Op: "binding", Server: addr.String(), Err: c.err}
		_ = c.conn.Close()
	}
	return c
}

// run collects the servers' responses, and asks a server with another address there, too. It
// returns when all have answered, or had the time to.
func (s *survey) run() {
	var graceOver <-chan time.Time
	for s.pending > 0 {
		select {
		case c := <-s.results:
			if s.record(c) {
				s.askAlternates(c)
			}
			if c.err == nil && graceOver == nil {
				graceOver = time.After(surveyGrace)
			}
		case <-graceOver:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// record enters a result into the reports. It reports whether the server has another address to ask
// at.
func (s *survey) record(c *contact) (hasOther bool) {
	s.pending--
	r := &s.reports[c.server]
	if c.err == nil {
		s.contacts = append(s.contacts, c)
	}
	if c.alternate {
		return false // that it cannot be reached is no fault of the server
	}
	r.Addr, r.RTT, r.Err = c.addr, c.rtt, c.err
	if c.err != nil {
		return false
	}
	if !admissibleOther(c.addr, c.response.other) || s.isOwn(c.response.other.Addr()) {
		c.response.other = netip.AddrPort{}
	}
	r.Mapped, r.ConnectsBack, r.Other = c.response.mapped, c.response.back != nil, c.response.other
	return r.Other.IsValid()
}

// isOwn reports whether addr is this host's or its NAT's, by the responses so far.
func (s *survey) isOwn(addr netip.Addr) bool {
	return slices.ContainsFunc(s.contacts, func(c *contact) bool {
		return addr == c.response.mapped.Addr() || addr == c.conn.LocalAddr().Addr()
	})
}

// askAlternates asks a server at the endpoints that follow from its other address.
func (s *survey) askAlternates(c *contact) {
	other := c.response.other
	for _, addr := range []netip.AddrPort{
		netip.AddrPortFrom(c.addr.Addr(), other.Port()),
		netip.AddrPortFrom(other.Addr(), c.addr.Port()),
		other,
	} {
		if s.alternates < maxAlternates && addr.Port() >= ipaddr.MinPort && s.isNew(addr) {
			s.alternates++
			s.pending++
			s.asking.Go(func() {
				c := s.ask(c.server, addr)
				c.alternate = true
				s.results <- c
			})
		}
	}
}

// admissibleOther reports whether a server at addr may name other as its other address. A public
// server must not make the host probe private networks, a remote one not the host itself, and none
// services.
func admissibleOther(addr, other netip.AddrPort) bool {
	return other.IsValid() && other.Port() >= ipaddr.MinPort &&
		other.Addr() != addr.Addr() && other.Addr().Is4() == addr.Addr().Is4() &&
		(!other.Addr().IsLoopback() || addr.Addr().IsLoopback()) &&
		(ipaddr.IsPublic(other.Addr()) || !ipaddr.IsPublic(addr.Addr()))
}

// wait records late results, until every server has answered or had the time to. It marks the
// servers that answer over UDP only.
func (s *survey) wait() {
	s.asking.Wait()
	close(s.results)
	for c := range s.results {
		s.record(c)
	}
	for i, udp := range s.udp {
		if r := &s.reports[i]; udp && r.Err != nil && r.Addr.IsValid() && !r.Mapped.IsValid() {
			r.Err = fmt.Errorf("%w: %w", ErrNoTCP, r.Err)
		}
	}
}

func (s *survey) close() {
	s.asking.Wait()
	for _, c := range s.contacts {
		_ = c.conn.Close()
	}
	_ = s.port.Close()
}

// resolve returns an address of server to which there is a route. It prefers IPv4, where the NATs
// are.
func (s *survey) resolve(server string) (netip.AddrPort, error) {
	address, err := ParseServer(server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	host, service, _ := net.SplitHostPort(address) // ParseServer has checked both
	port, _ := strconv.ParseUint(service, 10, 16)
	ips, err := net.DefaultResolver.LookupNetIP(s.ctx, "ip", host)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip, uint16(port))
		if _, routeErr := tcpport.SourceAddr(addr, s.control); routeErr == nil {
			return addr, nil
		} else if err == nil {
			err = routeErr
		}
	}
	return netip.AddrPort{}, &Error{Op: "dial", Server: address, Err: err}
}
