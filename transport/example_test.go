package transport_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/transport"
)

// A host that upgrades its relayed connections by itself.
func ExampleEnable() {
	h, err := libp2p.New(
		libp2p.EnableRelay(),
		transport.Enable(transport.WithSTUNServers("stun:stun.example.org:3478?transport=tcp")),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
}

// Wait for the direct connection, where the application cannot do without.
func ExampleDirectConnect() {
	h, err := libp2p.New(libp2p.NoListenAddrs, transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	somebody, err := peer.Decode("12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := transport.DirectConnect(ctx, h, somebody)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("direct:", conn.RemoteMultiaddr())
	// Output: simopen: direct connect 12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m: no relayed connection to the peer: connect to it through a relay first
}

// See every step of every punch.
func ExampleWithTracer() {
	h, err := libp2p.New(libp2p.NoListenAddrs, transport.Enable(
		transport.WithSTUNServers("stun.example.org"),
		transport.WithTracer(func(e transport.Event) {
			fmt.Println(e.Peer, e.Direction, e.Kind, e.Remote, e.Err)
		}),
	))
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
}
