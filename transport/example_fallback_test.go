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

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// A stream over the relay is better than none. Bob has no simopen here.
func ExampleDirectConnect_fallback() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	relay := newExampleRelay()
	defer relay.Close()
	bob, err := libp2p.New(
		libp2p.NoListenAddrs, libp2p.EnableRelay(),
		libp2p.EnableAutoRelayWithStaticRelays([]peer.AddrInfo{relay.AddrInfo}),
		libp2p.ForceReachabilityPrivate(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	bob.SetStreamHandler("/hello/1.0.0", func(s network.Stream) {
		defer s.Close()
		fmt.Fprintln(s, "hello over the relay")
	})
	relay.awaitReservation(ctx)

	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	if err := h.Connect(ctx, relay.circuitTo(bob.ID())); err != nil {
		log.Fatal(err)
	}
	s, err := openAnyway(ctx, h, bob.ID())
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	io.Copy(os.Stdout, s)
	// Output:
	// peer_unsupported
	// hello over the relay
}

// openAnyway opens a stream on the direct connection, or on the relayed one if that is all there
// is.
func openAnyway(ctx context.Context, h host.Host, bob peer.ID) (network.Stream, error) {
	_, err := transport.DirectConnect(ctx, h, bob)
	if err != nil {
		fmt.Println(string(holepunch.ReasonOf(err)))
		ctx = network.WithAllowLimitedConn(ctx, "a greeting is short")
	}
	return h.NewStream(ctx, bob, "/hello/1.0.0")
}
