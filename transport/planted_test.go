package transport

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// TestPlantedAddress: a peer's addresses are anybody's word, as of a server of the DHT. Who names /simopen among
// them, alone or after another address, keeps nobody from the others.
func TestPlantedAddress(t *testing.T) {
	there := newHost(t)
	nowhere := ma.StringCast("/ip4/127.0.0.1/tcp/1")
	for name, planted := range map[string][]ma.Multiaddr{
		"alone":   {simopenAddr},
		"a mark":  {nowhere, mark(nowhere)},
		"a lure":  {mark(nowhere)},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Enable())
			h.Peerstore().AddAddrs(there.ID(), append(there.Addrs(), planted...), time.Hour)
			if err := h.Connect(testContext(t), peer.AddrInfo{ID: there.ID()}); err != nil {
				t.Error(err)
			}
		})
	}
}
