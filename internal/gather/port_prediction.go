package gather

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// predictions is how many ports are predicted of a NAT that gives them in sequence. A peer learns
// the last one used some 100 to 300 ms before its first SYN, and a home's other traffic opens a
// connection or few meanwhile. Where both sides predict, more would not help: each of our SYNs
// takes the next port.
const predictions = 5

// Predict finds out which external ports a Following description's port may get, and returns the
// description with them in place of the IPv4 reflexive candidates. It returns other descriptions as
// they are. It takes two round trips to a STUN server, and ends by 4.5 s after the call of Gather.
func (d *Description) Predict(ctx context.Context) (*Description, error) {
	if !d.Following {
		return d, nil
	}
	last, err := d.lastMapping(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	l := candidateList{filter: d.filter}
	l.add(punch.Predicted, 0, nextPorts(last, d.Behaviour.Step)...)
	for _, c := range d.Candidates {
		if c.Kind != punch.Reflexive || !isIPv4(c.Addr) {
			l.add(c.Kind, c.Port, c.Addr)
		}
	}
	predicted := *d
	predicted.Candidates, predicted.Following = l.list, false
	return &predicted, nil
}

// nextPorts returns the ports that a NAT gives next after the last that was seen, a step apart.
// They go round within [ipaddr.MinPort] to 65535.
func nextPorts(last netip.AddrPort, step int) []netip.AddrPort {
	next := make([]netip.AddrPort, predictions)
	port := int(last.Port())
	for i := range next {
		const count = 1<<16 - ipaddr.MinPort
		port = ipaddr.MinPort + ((port-ipaddr.MinPort+step)%count+count)%count
		next[i] = netip.AddrPortFrom(last.Addr(), uint16(port))
	}
	return next
}

// lastMapping makes a mapping to a STUN server, from a port of its own, and returns its external
// address: the next one in sequence is for the peer. A server that sees an IP address that is not
// among those known is not believed.
func (g *Gatherer) lastMapping(ctx context.Context, known []netip.Addr, o Options) (netip.AddrPort, error) {
	port, err := g.openPort()
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer port.Close()
	var errs []error
	for _, server := range g.servers { // one by one: each takes a port of the sequence
		if o.Spend != nil {
			if err := o.Spend(ctx); err != nil {
				return netip.AddrPort{}, err
			}
		}
		var last netip.AddrPort
		ask, cancel := context.WithTimeout(ctx, askTimeout/2) // so that two can be asked
		err := server.Observe(ask, observerDialer{port: port}, func(_, mapped netip.AddrPort) {
			last = mapped
			cancel()
		})
		cancel()
		if isIPv4(last) && slices.Contains(known, last.Addr()) {
			return last, nil
		}
		if last.IsValid() {
			err = fmt.Errorf("%w: %s reports %s", stun.ErrDissent, server, last.Addr())
		}
		errs = append(errs, err)
	}
	return netip.AddrPort{}, failure(errs)
}
