package gather

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// predictions is how many ports are predicted of a NAT that gives them in sequence. A peer learns
// the last one used some 100 to 300 ms before its first SYN, and a home's other traffic opens a
// connection or few meanwhile. Where both sides predict, more would not help: each of our SYNs
// takes the next port.
const predictions = 5

// A prediction is the search for the last port that the NAT has given.
type prediction struct {
	reflexive []netip.AddrPort // of the host
	spend     func(context.Context) error

	done chan struct{} // closed when the following are set
	last netip.AddrPort
	err  error
}

// startPrediction begins d.prediction, which goes on until a time, or until Release.
func (g *Gatherer) startPrediction(ctx context.Context, until time.Time, d *Description, p *prediction) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		p.last, p.err = g.lastMapping(ctx, p)
	}()
	d.prediction = p
	release := d.release
	d.release = sync.OnceFunc(func() {
		cancel()
		<-p.done
		release()
	})
}

// Predict waits for the external ports that a Following description's port may get, by two round
// trips to a STUN server that have begun with Gather, and returns the description with them in
// place of the IPv4 reflexive candidates. It returns other descriptions as they are.
func (d *Description) Predict(ctx context.Context) (*Description, error) {
	if !d.Following {
		return d, nil
	}
	select {
	case <-d.prediction.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.prediction.err != nil {
		return nil, d.prediction.err
	}
	l := candidateList{filter: d.filter}
	l.add(punch.Predicted, 0, nextPorts(d.prediction.last, d.Behaviour.Step)...)
	for _, c := range d.Candidates {
		if c.Kind != punch.Reflexive || !isIPv4(c.Addr) {
			l.add(c.Kind, c.Port, c.Addr)
		}
	}
	predicted := *d
	predicted.Candidates, predicted.Following, predicted.prediction = l.list, false, nil
	return &predicted, nil
}

// nextPorts returns the ports that a NAT gives next after the last that was seen, a step apart. They
// go round within minPort to 65535.
func nextPorts(last netip.AddrPort, step int) []netip.AddrPort {
	next := make([]netip.AddrPort, predictions)
	port := int(last.Port())
	for i := range next {
		const count = 1<<16 - minPort
		port = minPort + ((port-minPort+step)%count+count)%count
		next[i] = netip.AddrPortFrom(last.Addr(), uint16(port))
	}
	return next
}

// lastMapping makes a mapping to a STUN server, from a port of its own, and returns its external
// address: the next one in sequence is for the peer. A server that sees another IP address than
// the host has is not believed.
func (g *Gatherer) lastMapping(ctx context.Context, p *prediction) (netip.AddrPort, error) {
	port, err := g.openPort(g.cfg.Accept)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer port.Close()
	var errs []error
	for _, server := range g.servers { // one by one: each takes a port of the sequence
		if p.spend != nil {
			if err := p.spend(ctx); err != nil {
				return netip.AddrPort{}, err
			}
		}
		var last netip.AddrPort
		ask, cancel := context.WithTimeout(ctx, askTimeout/2) // so that two can be asked
		err := server.Observe(ask, resettingDialer{port}, func(_, mapped netip.AddrPort) {
			last = mapped
			cancel()
		})
		cancel()
		isOurs := func(a netip.AddrPort) bool { return a.Addr() == last.Addr() }
		if isIPv4(last) && slices.ContainsFunc(p.reflexive, isOurs) {
			return last, nil
		}
		if last.IsValid() {
			err = fmt.Errorf("%w: %s reports %s", stun.ErrDissent, server, last.Addr())
		}
		errs = append(errs, err)
	}
	return netip.AddrPort{}, failure(errs)
}
