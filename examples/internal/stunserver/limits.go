package stunserver

import (
	"flag"

	"github.com/simopen/go-libp2p-simopen/examples/internal/daemon"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// maxConns is what docs/operations.md gives a machine.
	maxConns = 100_000

	// connMemory is what the machine should have for each. A connection takes 8 kB, a quarter.
	connMemory = 32 << 10
)

// AddLimitFlags adds flags for the limits of a server, with a prefix to their names, and sets their
// defaults.
func AddLimitFlags(flags *flag.FlagSet, cfg *stun.ServerConfig, prefix string) {
	cfg.MaxConns, cfg.MaxConnsPerClient = daemon.Capacity(connMemory, maxConns), 256
	daemon.NumberFlag(flags, &cfg.MaxConns, prefix+"conns", "have at most `n` STUN connections, of 8 kB each; the default is one for 32 kB of memory, 100,000 at most")
	daemon.NumberFlag(flags, &cfg.MaxConnsPerClient, prefix+"conns-per-ip", "have at most `n` STUN connections of one IPv4 address or IPv6 /64; a peer has one or two")
}
