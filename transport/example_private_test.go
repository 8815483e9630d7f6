package transport_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/transport"
)

// AutoRelay announces no address at a relay that has a private one. A host in a private network
// adds it by itself.
func ExampleEnable_privateNetwork() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	relay := newExampleRelay()
	defer relay.Close()
	bob, err := privateBob(relay.AddrInfo)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	relay.awaitReservation(ctx)

	// Peers that have Bob's addresses, from a rendezvous or a DHT, can connect to him.
	alice, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	circuits := slices.DeleteFunc(bob.Addrs(), func(a ma.Multiaddr) bool {
		_, err := a.ValueForProtocol(ma.P_CIRCUIT)
		return err != nil
	})
	if err := alice.Connect(ctx, peer.AddrInfo{ID: bob.ID(), Addrs: circuits}); err != nil {
		log.Fatal(err)
	}
	_, err = transport.DirectConnect(ctx, alice, bob.ID())
	fmt.Println(len(circuits), err)
	// Output: 1 <nil>
}

// privateBob makes a host that waits at a relay with a private address, and announces that.
func privateBob(relay peer.AddrInfo) (host.Host, error) {
	circuit := ma.StringCast(fmt.Sprintf("%s/p2p/%s/p2p-circuit", relay.Addrs[0], relay.ID))
	return libp2p.New(
		libp2p.EnableAutoRelayWithStaticRelays([]peer.AddrInfo{relay}, autorelay.WithBackoff(30*time.Second)),
		libp2p.ForceReachabilityPrivate(),
		libp2p.AddrsFactory(func(addrs []ma.Multiaddr) []ma.Multiaddr {
			return append(addrs, circuit)
		}),
		transport.Enable(),
	)
}
