package transport_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/transport"
)

// Alice knows Bob through a relay, and waits for the direct connection. That it is one
// can be seen from its address, which has no /p2p-circuit in it.
func ExampleDirectConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bob, hangUp := bobBehindARelay(ctx)
	defer hangUp()
	if err := alice(ctx, bob); err != nil {
		log.Fatal(err)
	}
	// Output: direct: /ip4/127.0.0.1
}

// alice has in her code what an application has.
func alice(ctx context.Context, bob peer.AddrInfo) error {
	h, err := libp2p.New(libp2p.EnableRelay(), transport.Enable())
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Connect(ctx, bob); err != nil { // through a relay, as ever
		return err
	}
	conn, err := transport.DirectConnect(ctx, h, bob.ID) // or go on: it comes by itself
	if err == nil {
		fmt.Println("direct:", conn.RemoteMultiaddr()[:1])
	}
	return err
}

// bobBehindARelay makes two more hosts on loopback: a relay, and one that is reached through it
// alone. It returns where that is, and ends both.
func bobBehindARelay(ctx context.Context) (bob peer.AddrInfo, hangUp func()) {
	between, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		log.Fatal(err)
	}
	r, err := relay.New(between)
	if err != nil {
		log.Fatal(err)
	}
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	at := peer.AddrInfo{ID: between.ID(), Addrs: between.Addrs()}
	if err := h.Connect(ctx, at); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Reserve(ctx, h, at); err != nil {
		log.Fatal(err)
	}
	circuit := ma.StringCast("/p2p/" + between.ID().String() + "/p2p-circuit")
	bob = peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{between.Addrs()[0].Encapsulate(circuit)}}
	return bob, func() {
		h.Close()
		r.Close()
		between.Close()
	}
}
