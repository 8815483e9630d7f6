package transport

import (
	"bytes"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// hostOptions are options of go-libp2p's that people have beside Enable.
var hostOptions = map[string]func(*labHost) []libp2p.Option{
	"NAT service":   option(libp2p.EnableNATService()),
	"AutoNAT v2":    option(libp2p.EnableAutoNATv2()),
	"port mapping":  option(libp2p.NATPortMap()),
	"public":        option(libp2p.ForceReachabilityPublic()),
	"private":       option(libp2p.ForceReachabilityPrivate()),
	"TCP alone":     option(libp2p.Transport(tcp.NewTCPTransport)),
	"Noise alone":   option(libp2p.Security(noise.ID, noise.New)),
	"TLS alone":     option(libp2p.Security(libp2ptls.ID, libp2ptls.New)),
	"our network":   option(privateNetwork(ourPSK)...),
	"their network": option(privateNetwork(theirPSK)...),
	// Two hosts that see an address of ours are enough to believe it, instead of four.
	"believes two": func(*labHost) []libp2p.Option {
		observedaddrs.ActivationThresh = 2
		return nil
	},
	// Where the other side does not answer, in libp2p's words.
	"impatient": option(libp2p.WithDialTimeout(5 * time.Second)),
	"static relays": func(h *labHost) []libp2p.Option {
		return []libp2p.Option{libp2p.EnableAutoRelayWithStaticRelays(
			[]peer.AddrInfo{h.cfg.Relay}, autorelay.WithBootDelay(0), autorelay.WithBackoff(time.Second))}
	},
	"tries again soon": func(h *labHost) []libp2p.Option { h.soon = true; return nil },
	// As in go-libp2p's examples, with shorter pauses.
	"keeps a reservation": func(h *labHost) []libp2p.Option {
		return []libp2p.Option{libp2p.EnableAutoRelayWithStaticRelays(
			[]peer.AddrInfo{h.cfg.Relay}, autorelay.WithBootDelay(0), autorelay.WithBackoff(time.Second),
			autorelay.WithMinInterval(time.Second))}
	},
}

func option(opts ...libp2p.Option) func(*labHost) []libp2p.Option {
	return func(*labHost) []libp2p.Option { return opts }
}

var ourPSK, theirPSK = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

// privateNetwork is the options of a host in a private network. Other transports than TCP
// refuse to be in one.
func privateNetwork(psk []byte) []libp2p.Option {
	return []libp2p.Option{libp2p.PrivateNetwork(psk), libp2p.Transport(tcp.NewTCPTransport)}
}
