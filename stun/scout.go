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

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// contactTime is how long a server has to answer over TCP: SYNs leave at 0, 1
	// and 2 or 3 s.
	contactTime = 3 * time.Second

	// surveyGrace is how long the rest of the servers have after the first has
	// answered: a lost SYN is repeated after 1 s.
	surveyGrace = 1500 * time.Millisecond

	// maxAlternates bounds what OTHER-ADDRESSes may add to the servers that the
	// caller names: three endpoints for each of two, of which two may be anybody's.
	maxAlternates = 6
)

// A scout asks all servers, side by side, from one port.
type scout struct {
	ctx  context.Context
	port *tcpport.Port

	reports  []ServerReport
	udp      []udpFate  // of each server; valid after wait
	contacts []*contact // with an answer, in the order they came

	asking     sync.WaitGroup
	results    chan *contact // has room for all
	pending    int           // results to come
	alternates int           // that were asked

	mu    sync.Mutex
	asked map[netip.AddrPort]bool
}

// A contact is an endpoint of a server that was asked.
type contact struct {
	server int // its index
	addr   netip.AddrPort
	conn   *Conn
	answer answer
	rtt    time.Duration
	err    error

	alternate bool // not the endpoint that the caller named
}

func (c *contact) sighting() sighting {
	return sighting{local: c.conn.LocalAddr(), server: c.addr, mapped: c.answer.mapped}
}

func newScout(ctx context.Context, servers []string) (*scout, error) {
	port, err := tcpport.Open()
	if err != nil {
		return nil, err
	}
	s := &scout{
		ctx:     ctx,
		port:    port,
		udp:     make([]udpFate, len(servers)),
		results: make(chan *contact, len(servers)+maxAlternates),
		pending: len(servers),
		asked:   make(map[netip.AddrPort]bool),
	}
	for i, server := range servers {
		s.reports = append(s.reports, ServerReport{Server: server})
		s.asking.Go(func() { s.results <- s.visit(i, server) })
	}
	return s, nil
}

// visit finds a server's address, and asks there over TCP and UDP.
func (s *scout) visit(i int, server string) *contact {
	addr, err := resolve(s.ctx, server)
	if err != nil {
		return &contact{server: i, err: err}
	}
	if !s.claim(addr) {
		return &contact{server: i, addr: addr, err: ErrSameServer}
	}
	s.asking.Go(func() { s.udp[i] = askUDP(s.ctx, addr) })
	return s.contact(i, addr)
}

// claim reports whether nobody else asks at addr.
func (s *scout) claim(addr netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[addr] {
		return false
	}
	s.asked[addr] = true
	return true
}

func (s *scout) contact(server int, addr netip.AddrPort) *contact {
	c := &contact{server: server, addr: addr}
	ctx, cancel := context.WithTimeout(s.ctx, contactTime)
	defer cancel()
	if c.conn, c.err = Dial(ctx, s.port, addr.String()); c.err != nil {
		return c
	}
	begun := time.Now()
	c.answer, c.err = c.conn.ask(ctx, connectBack{}) // what can it do?
	c.rtt = time.Since(begun)
	if refused := (*ResponseError)(nil); errors.As(c.err, &refused) {
		c.answer, c.err = c.conn.ask(ctx) // it should have ignored that
	}
	if c.err != nil {
		c.err = &Error{Op: "binding", Server: addr.String(), Err: c.err}
		_ = c.conn.Close()
	}
	return c
}

// survey takes the servers' answers, and asks those that have another address there
// too. It ends when all have answered, or should have.
func (s *scout) survey() {
	var enough <-chan time.Time
	for s.pending > 0 {
		select {
		case c := <-s.results:
			if s.take(c) {
				s.askAlternates(c)
			}
			if c.err == nil && enough == nil {
				enough = time.After(surveyGrace)
			}
		case <-enough:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// take puts a result into the reports, and tells whether the server has another
// address to ask at.
func (s *scout) take(c *contact) (hasOther bool) {
	s.pending--
	r := &s.reports[c.server]
	if c.err == nil {
		s.contacts = append(s.contacts, c)
	}
	if c.alternate {
		return false // if it cannot be reached, that is only less to go by
	}
	r.Addr, r.RTT, r.Err = c.addr, c.rtt, c.err
	if c.err != nil {
		return false
	}
	if !admissibleOther(c.addr, c.answer.other) || s.own(c.answer.other.Addr()) {
		c.answer.other = netip.AddrPort{}
	}
	r.Mapped, r.ConnectsBack, r.Other = c.answer.mapped, c.answer.back != nil, c.answer.other
	return r.Other.IsValid()
}

// own reports whether addr is this host's, or its NAT's, by all that is known yet.
func (s *scout) own(addr netip.Addr) bool {
	return slices.ContainsFunc(s.contacts, func(c *contact) bool {
		return addr == c.answer.mapped.Addr() || addr == c.conn.LocalAddr().Addr()
	})
}

// askAlternates asks a server at the endpoints that its other address makes known.
func (s *scout) askAlternates(c *contact) {
	other := c.answer.other
	for _, addr := range []netip.AddrPort{
		netip.AddrPortFrom(c.addr.Addr(), other.Port()),
		netip.AddrPortFrom(other.Addr(), c.addr.Port()),
		other,
	} {
		if s.alternates < maxAlternates && addr.Port() >= minMapped && s.claim(addr) {
			s.alternates++
			s.pending++
			s.asking.Go(func() {
				c := s.contact(c.server, addr)
				c.alternate = true
				s.results <- c
			})
		}
	}
}

// admissibleOther reports whether a server at addr may send us to other. A server in
// public must not make us look into private networks, nor one elsewhere at this host, and
// none at services.
func admissibleOther(addr, other netip.AddrPort) bool {
	return other.IsValid() && other.Port() >= minMapped &&
		(!other.Addr().IsLoopback() || addr.Addr().IsLoopback()) && other.Addr() != addr.Addr() && other.Addr().Is4() == addr.Addr().Is4() &&
		(public(other.Addr()) || !public(addr.Addr()))
}

// wait takes what has come late, until everybody has answered or had the time to. A
// server that answers over UDP only is told from one that is not there.
func (s *scout) wait() {
	s.asking.Wait()
	close(s.results)
	for c := range s.results {
		s.take(c)
	}
	for i, fate := range s.udp {
		if r := &s.reports[i]; fate == udpAnswered && r.Err != nil && r.Addr.IsValid() && !r.Mapped.IsValid() {
			r.Err = fmt.Errorf("%w: %w", ErrNoTCP, r.Err)
		}
	}
}

func (s *scout) close() {
	s.asking.Wait()
	for _, c := range s.contacts {
		_ = c.conn.Close()
	}
	_ = s.port.Close()
}

// resolve returns the address of a server to which there is a route, an IPv4 address
// if there is one: that is where the NATs are.
func resolve(ctx context.Context, server string) (netip.AddrPort, error) {
	address, err := ParseServer(server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, &Error{Op: "dial", Server: address, Err: err}
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip, uint16(port))
		if _, routeErr := sourceFor(addr); routeErr == nil {
			return addr, nil
		} else if err == nil {
			err = routeErr
		}
	}
	return netip.AddrPort{}, &Error{Op: "dial", Server: address, Err: err}
}
