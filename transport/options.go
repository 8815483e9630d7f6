package transport

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Option configures [Enable] and [New].
type Option func(*config) error

type config struct {
	servers []string // host:port
	tracer  func(Event)
	guess   bool
}

func newConfig(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if err := o(&c); err != nil {
			return config{}, err
		}
	}
	return c, nil
}

// WithSTUNServers sets the STUN servers that tell the host its reflexive
// addresses, over TCP: each a stun: URI (RFC 7064) or host:port. All are asked
// side by side, so that two make one that fails harmless, and of three one that lies.
// Two at different addresses tell besides whether ports have to be foretold, and how; one
// that connects back, as [stun.Server] with two addresses does, whom the NAT lets in,
// and so what cannot work. See docs/nat.md.
//
// Without a server, or when none answers, up to three of the relays that the host is
// connected to are asked, by identify, over a TCP connection with a throw-away
// identity; with a single relay, another public peer as well. A server is better where
// no relay listens on plain TCP, or where the relays are within the host's own
// network.
func WithSTUNServers(servers ...string) Option {
	return func(c *config) error {
		for _, s := range servers {
			hostport, err := stun.ParseServer(s)
			if err != nil {
				return fmt.Errorf("simopen: STUN server %q: %w", s, err)
			}
			c.servers = append(c.servers, hostport)
		}
		return nil
	}
}

// WithTracer calls f for every step of every punch. Calls come from several
// goroutines, and a punch waits for them: f must be quick. Default: none.
func WithTracer(f func(Event)) Option {
	return func(c *config) error {
		c.tracer = f
		return nil
	}
}

// WithPortGuessing lets the host guess ports, with peers that have it as well, where
// nothing else can help: one NAT gives every destination another port, at random,
// and the other lets in only ports that were sent to. That is up to 200 SYNs a
// second for 10 s, from up to 256 sockets, for one peer at a time; see
// docs/nat.md for the odds. Default: off, for some networks take it for a scan.
func WithPortGuessing() Option {
	return func(c *config) error {
		c.guess = true
		return nil
	}
}
