package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// keepAlive is how often an observer is asked again over the connection that
// holds the mapping. NATs must keep an established connection for over two hours
// (RFC 5382, REQ-5), but many forget after a minute or few; and it must be well
// below the 90 s after which our own STUN server hangs up.
const keepAlive = 25 * time.Second

// A source is somebody who can be asked for the port's reflexive address: a STUN
// server, or a libp2p peer. Sources are comparable.
type source interface {
	fmt.Stringer
	// ask connects to the source from the port, through the dialer, and asks it. The
	// error names the source.
	ask(context.Context, stun.Dialer) (observer, netip.AddrPort, error)
	// ipv4 tells whether the answer will be an IPv4 address.
	ipv4() bool
}

// An observer is the connection to a source. A [*stun.Conn] is one.
type observer interface {
	// Binding asks again for the address from which the source sees this connection.
	Binding(context.Context) (netip.AddrPort, error)
	RemoteAddr() netip.AddrPort
	// Done is closed when the connection has ended, and Err tells why.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// stunServer is the host:port of a STUN server.
type stunServer string

func (s stunServer) String() string { return string(s) }

func (s stunServer) ask(ctx context.Context, d stun.Dialer) (observer, netip.AddrPort, error) {
	c, err := stun.Dial(ctx, d, string(s))
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	mapped, err := c.Binding(ctx)
	if err == nil {
		if err = stun.CheckMapped(c.RemoteAddr().Addr(), mapped.Addr()); err != nil {
			err = &stun.Error{Op: "binding", Server: string(s), Err: err}
		}
	}
	if err != nil {
		c.Close()
		return nil, netip.AddrPort{}, err
	}
	return c, mapped, nil
}

// ipv4 is false for literal IPv6 addresses only: the port tries IPv4 first.
func (s stunServer) ipv4() bool {
	a, err := netip.ParseAddrPort(string(s))
	return err != nil || a.Addr().Is4()
}

// An answer is what a source says.
type answer struct {
	of     source
	at     netip.AddrPort // the source's own address
	mapped netip.AddrPort
}

// news is that of one source: its answer, and later that its connection has ended,
// for the reason err; or that it failed.
type news struct {
	answer
	err error
}

// observe asks a source and holds its connection, until that ends by itself or by
// ctx. What there is to tell by then it tells, and at the end the connection is
// closed before.
func (w *warmPort) observe(ctx context.Context, s source, timeout time.Duration) {
	a := answer{of: s}
	err := func() error {
		question, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		o, mapped, err := s.ask(question, lingerless{w.Port})
		if ctx.Err() == nil { // else nobody wants to know any more
			w.metrics.asked(s, err)
		}
		if err != nil {
			return err
		}
		w.metrics.holding(1)
		defer w.metrics.holding(-1)
		defer o.Close()
		a.at, a.mapped = o.RemoteAddr(), mapped
		select {
		case w.news <- news{answer: a}:
		case <-ctx.Done():
			return ctx.Err()
		}
		return hold(ctx, o, mapped)
	}()
	select {
	case w.news <- news{a, err}:
	case <-ctx.Done():
	}
}

// hold asks an observer again from time to time, and returns why it will not be
// held any longer. A connection keeps its mapping, so that another answer means
// that either is not what it seems; to ask over a new connection tells.
func hold(ctx context.Context, o observer, mapped netip.AddrPort) error {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			again, err := o.Binding(ctx)
			cancel()
			if err != nil {
				return err
			}
			if again != mapped {
				return fmt.Errorf("says %s, and on the same connection %s", mapped, again)
			}
		case <-o.Done():
			return o.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A view is what is known of a port.
type view struct {
	addrs   []netip.AddrPort // reflexive addresses, each once, IPv4 before IPv6
	mapping stun.Mapping     // how the NATs in front map it
}

// newView makes a view of the answers, and reports dissent between them.
func newView(answers []answer) (view, error) {
	// An observer within the host's own network says nothing of where others see it.
	answers = slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return !public(a) && slices.ContainsFunc(answers, func(b answer) bool {
			return public(b) && b.mapped.Addr().Is4() == a.mapped.Addr().Is4()
		})
	})
	var seen []stun.Observed
	for _, a := range answers {
		seen = append(seen, stun.Observed{Observer: a.of.String(), Mapped: a.mapped})
	}
	agreed, dissent := stun.Agree(seen)
	v := view{addrs: agreed}
	answers = slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return !slices.Contains(agreed, a.mapped) || a.mapped.Addr().Is4() != agreed[0].Addr().Is4()
	})
	v.mapping = mapping(answers)
	return v, errors.Join(dissent...)
}

func public(a answer) bool { return manet.IsPublicAddr(toMultiaddr(a.mapped)) }

// mapping says how NATs map a port of which several observers say where they see
// it: all in one family. It is endpoint-independent if observers at different
// addresses say the same. If they see different ports, no peer will meet one that
// was seen before, whatever the NAT's rule; that is APDM, for ADM would take two
// ports of one observer to tell. With different addresses one may lie.
func mapping(answers []answer) stun.Mapping {
	m := stun.MappingUnknown
	for i, a := range answers {
		for _, b := range answers[:i] {
			switch {
			case a.mapped.Addr() != b.mapped.Addr():
				return stun.MappingUnknown
			case a.mapped.Port() != b.mapped.Port():
				m = stun.APDM
			case a.at.Addr() != b.at.Addr() && m == stun.MappingUnknown:
				m = stun.EIM
			}
		}
	}
	return m
}

// lingerless dials from a port and closes with a RST, for a 4-tuple in
// TIME-WAIT would keep the port from asking the same server again.
type lingerless struct{ port *tcpport.Port }

func (d lingerless) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.port.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.(*net.TCPConn).SetLinger(0)
	return c, nil
}

// has tells whether a, the target of an OFFER, is the port.
func (w *warmPort) has(a netip.AddrPort) bool { return a.Port() == w.Number() }

// failure is the reason why nobody told the port's address.
func (w *warmPort) failure() error {
	var errs []error
	for _, a := range w.asked {
		errs = append(errs, a.err)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	var reason error = ErrNoReflexiveAddress
	if len(w.servers) == 0 {
		reason = ErrNoSTUNServer
	}
	if errors.Is(errors.Join(errs...), tcpport.ErrShort) {
		reason = holepunch.ErrNoSocket // nobody was asked
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: none is connected that listens on TCP", reason)
	}
	return fmt.Errorf("%w: %w", reason, errors.Join(errs...))
}
