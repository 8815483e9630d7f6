package natpeer

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// Config has where a peer finds its public helpers, and the peer's identity.
type Config struct {
	Relay    peer.AddrInfo
	STUN     []string       // stun: URIs or host:port
	Identity crypto.PrivKey `json:"-"` // nil for a throw-away one
}

// ParseRelay reads a relay's address with its peer ID, as examples/relay prints it.
func ParseRelay(s string) (peer.AddrInfo, error) {
	if s == "" {
		return peer.AddrInfo{}, errors.New("no relay is named: copy an address that examples/relay prints")
	}
	info, err := peer.AddrInfoFromString(s)
	switch {
	case err != nil:
		return peer.AddrInfo{}, fmt.Errorf("%q is no relay's address (%w): copy what examples/relay prints, with /p2p/ at the end", s, err)
	case len(info.Addrs) == 0:
		return peer.AddrInfo{}, fmt.Errorf("%q does not say where the relay is: copy what examples/relay prints", s)
	}
	return *info, nil
}

// STUNBeside returns the STUN server that is on the relay's machine, at STUN's usual port, as
// examples/relay has it.
func STUNBeside(relay peer.AddrInfo) (string, error) {
	host := relay.Addrs[0][0]
	switch host.Code() {
	case ma.P_IP4, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return stun.ParseServer(host.Value())
	case ma.P_IP6:
		return stun.ParseServer("[" + host.Value() + "]")
	}
	return "", fmt.Errorf("%s has no host where a STUN server could be: name one with -stun", relay.Addrs[0])
}
