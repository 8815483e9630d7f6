package holepunch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Observer reports from which address it sees a local port, as a STUN server does. Observers are
// comparable.
type Observer interface {
	// String names the observer in logs and errors.
	fmt.Stringer
	// IPv4 reports whether the observer is asked over IPv4.
	IPv4() bool
	// Observe connects to the observer through d, which dials from the port, calls report once with
	// what it learned, and holds the connection until ctx ends or the connection does. It returns
	// why it ended, or failed, and has closed the connection then. [Agent.Close] waits for that.
	Observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error
}

// Config is what an [Agent] is made from. The zero Config has no observer, and no attempt of its
// agent succeeds unless the peer listens at a public address.
type Config struct {
	// STUNServers report the host's reflexive addresses, over TCP: each a stun: URI (RFC 7064) or
	// host:port; without a port it is 3478. With two servers at different addresses the NAT's
	// mapping is known and ports can be predicted. A server with two addresses, such as
	// examples/stunserver, shows the NAT's filter as well, and so which pairs of NATs allow no
	// connection.
	STUNServers []string

	// Observers returns the observers that may be asked now for the address of the given local
	// port, besides the STUN servers, the best first. They are asked while no STUN server answers,
	// one at a time, for as long as an attempt needs what the connections of [Agent.SetConns] do
	// not show. Nil for none. It must not block.
	Observers func(port uint16) []Observer

	// WarmPorts is how many local ports are kept warm after SetWarm(true): 0 to 2. Default: 0, each
	// attempt asks for the address of its port. (Package transport passes 2.)
	WarmPorts int

	// PortGuessing lets the agent guess ports, if the peer's agent does, too. It helps where one
	// NAT gives every destination another port, at random, and the other lets in only ports that
	// were sent to. It takes some thousands of SYNs, so the agent guesses for one peer at a time,
	// and once a minute.
	PortGuessing bool

	// Timeout bounds an attempt of Dial. One of Accept has 3 s more, from the OFFER on, which it
	// awaits for 5 s. Two thirds of that, up to 10 s, are for the connects. Default: 15 s.
	Timeout time.Duration

	// Limits bound what peers can have the agent do.
	Limits Limits

	// Control is called with every socket of the agent before it is bound, as the Control of
	// [net.Dialer] and [net.ListenConfig] is: to mark the socket, or to bind it to an interface.
	// Calls come from several goroutines. An error of Control fails the socket. Nil calls nothing.
	// Control does not get the sockets of [net.DefaultResolver], which looks up the names of STUN
	// servers.
	Control func(network, address string, c syscall.RawConn) error

	// Logger gets what does not belong to one attempt. Nil for slog.Default().
	Logger *slog.Logger

	// The hooks are called from several goroutines; nil for none. Close waits for them, and OnAsked
	// and OnHeld must not block.
	OnBehaviour func(stun.Behaviour, error)                  // a search has ended: what is known, and why not all
	OnAsked     func(o Observer, stunServer bool, err error) // an observer has answered, or failed
	OnHeld      func(delta int)                              // connections to observers that are held, more or fewer
}

// gatherConfig returns what the agent's Gatherer is made from, or all that is wrong with c.
func (c Config) gatherConfig() (gather.Config, error) {
	g := gather.Config{
		Ports:       c.WarmPorts,
		Control:     c.Control,
		Log:         cmp.Or(c.Logger, slog.Default()),
		OnBehaviour: c.OnBehaviour,
		OnHeld:      c.OnHeld,
	}
	var errs []error
	for _, s := range c.STUNServers {
		server, err := stun.ParseServer(s)
		g.Servers, errs = append(g.Servers, server), append(errs, err)
	}
	if c.WarmPorts < 0 || c.WarmPorts > punch.MaxPorts {
		errs = append(errs, fmt.Errorf("value of WarmPorts is %d: want 0 to %d", c.WarmPorts, punch.MaxPorts))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("value of Timeout is %v: want more than 0, or 0 for the default", c.Timeout))
	}
	if c.Observers != nil {
		g.Observers = func(port uint16) []gather.Observer {
			var os []gather.Observer
			for _, o := range c.Observers(port) {
				os = append(os, o)
			}
			return os
		}
	}
	if c.OnAsked != nil {
		g.OnAsked = func(o gather.Observer, stunServer bool, err error) { c.OnAsked(o, stunServer, err) }
	}
	return g, errors.Join(append(errs, c.Limits.Check())...)
}
