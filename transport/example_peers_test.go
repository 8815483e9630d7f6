package transport_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/transport"
)

// Bob waits at a relay. Alice connects to him through it, and opens a stream when the connection is
// direct.
func ExampleDirectConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	relay := newExampleRelay()
	defer relay.Close()
	bob, err := bob(relay.AddrInfo)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	relay.awaitReservation(ctx)
	if err := alice(ctx, relay.AddrInfo, bob.ID()); err != nil {
		log.Fatal(err)
	}
	// Output: hello from Bob
}

// bob makes a host that waits at a relay, and greets its peers.
func bob(relay peer.AddrInfo) (host.Host, error) {
	h, err := libp2p.New(
		libp2p.EnableAutoRelayWithStaticRelays([]peer.AddrInfo{relay}), // keeps a reservation
		libp2p.ForceReachabilityPrivate(),                              // does not wait for AutoNAT
		transport.Enable(),
	)
	if err != nil {
		return nil, err
	}
	h.SetStreamHandler("/hello/1.0.0", func(s network.Stream) {
		defer s.Close()
		fmt.Fprintln(s, "hello from Bob")
	})
	return h, nil
}

// alice connects to Bob through the relay, and reads his greeting from the direct connection.
func alice(ctx context.Context, relay peer.AddrInfo, bob peer.ID) error {
	h, err := libp2p.New(libp2p.EnableRelay(), transport.Enable())
	if err != nil {
		return err
	}
	defer h.Close()
	through := fmt.Sprintf("%s/p2p/%s/p2p-circuit/p2p/%s", relay.Addrs[0], relay.ID, bob)
	addr, err := peer.AddrInfoFromString(through)
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, *addr); err != nil {
		return err
	}
	if _, err := transport.DirectConnect(ctx, h, bob); err != nil {
		return err // with the reason
	}
	s, err := h.NewStream(ctx, bob, "/hello/1.0.0")
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = io.Copy(os.Stdout, s)
	return err
}
